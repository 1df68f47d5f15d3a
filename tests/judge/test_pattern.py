"""Which frames are wrong: planted patterns are named, chance never is."""

# ruff: noqa: ARG005

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

from qualification.agent.capture.dimensions import OTHERS, ShapeCounter
from qualification.judge.pattern import explain
from qualification.wire.dissect import dissect

Shapes = dict[str, dict[str, tuple[int, int]]]
Wrong = Callable[[int, bool, bool, random.Random], bool]


def burst(wrong: Wrong, seed: int, frames: int = 7000, group: int = 1) -> tuple[Shapes, int]:
    """A burst over 16 flows, tallied; the same decision for each `group` frames of a flow."""
    rng = random.Random(seed)
    sums: dict[str, dict[str, list[int]]] = {}
    last: dict[int, bool] = {}
    total = 0
    for number in range(frames):
        flow = number // group % 16
        odd, full = rng.random() < 0.4, rng.random() < 0.8
        if number % group == 0 or group == 1:
            decided = wrong(flow, odd, full, rng)
        total += decided
        values = {
            "outer source port": str(50_000 + flow),
            "length": "odd" if odd else "even",
            "size": "full" if full else "65 and up",
        }
        if flow in last:
            values["previous frame"] = "wrong" if last[flow] else "right"
        last[flow] = decided
        for dimension, value in values.items():
            both = sums.setdefault(dimension, {}).setdefault(value, [0, 0])
            both[0] += 1
            both[1] += decided
    return {d: {v: (n, m) for v, (n, m) in vs.items()} for d, vs in sums.items()}, total


def at_random(p: float) -> Wrong:
    return lambda flow, odd, full, rng: rng.random() < p


PLANTED: dict[str, tuple[Wrong, str]] = {
    "odd": (lambda f, odd, full, r: odd, "only frames of odd length ("),
    "odd, some": (lambda f, odd, full, r: odd and r.random() < 0.1, "only frames of odd length ("),
    "last": (lambda f, odd, full, r: not full, "only frames of 65 bytes and up, less than"),
    "queue": (
        lambda f, odd, full, r: f % 4 == 1,
        "only frames from outer source ports 50001, 50005, 50009, 50013 (4 of 16 flows",
    ),
    "queue, some": (lambda f, odd, full, r: f % 4 == 1 and r.random() < 0.1, "4 of 16 flows"),
    "mostly": (
        lambda f, odd, full, r: r.random() < (0.5 if odd else 0.005),
        "mostly frames of odd length (",
    ),
    "random": (lambda f, odd, full, r: r.random() < 0.05, "at random"),
}


@pytest.mark.parametrize("name", PLANTED)
def test_what_was_planted_is_named(name: str) -> None:
    wrong, said = PLANTED[name]
    for seed in range(3):
        if name == "random" and "at random" not in (explain(*burst(wrong, seed)) or "at random"):
            pytest.fail("a pattern in noise")
        elif name != "random":
            assert said in (explain(*burst(wrong, seed)) or "")
    if name == "random":
        assert any(said in (explain(*burst(wrong, seed)) or "") for seed in range(10))


@pytest.mark.parametrize(("group", "runs"), [(1, 700), (40, 300)])
def test_chance_is_never_given_a_pattern(group: int, runs: int) -> None:
    """Whether frames go wrong one by one or a whole super-packet at a time."""
    for seed in range(runs):
        p = (0.003, 0.01, 0.05, 0.3)[seed % 4]
        found = explain(*burst(at_random(p), seed, 1200, group))
        assert found is None or found.startswith("at random"), (seed, found)


def test_nothing_to_go_by() -> None:
    assert explain({}, 0) is None
    assert explain({}, 5) is None  # evidence of before there were shapes
    assert explain({"length": {"odd": (500, 400), "even": (500, 0)}}, 401) is None  # one is neither
    # Every segment is wrong; the few frames of handshakes are no counter-example.
    assert explain({"size": {"full": (7000, 7000), "65 and up": (30, 0)}}, 7000) is None


VALUES = st.dictionaries(
    st.text(max_size=3),
    st.tuples(st.integers(0, 5000), st.integers(0, 5000)).map(lambda t: (max(t), min(t))),
    max_size=6,
)


@settings(max_examples=50)
@given(st.dictionaries(st.sampled_from(["outer source port", "previous frame"]), VALUES))
def test_it_never_raises(shapes: Shapes) -> None:
    bad = sum(wrong for _, wrong in shapes.get("outer source port", {}).values())
    said = explain(shapes, bad)
    assert said is None or bad


def test_frames_are_counted_by_shape() -> None:
    counter = ShapeCounter(1514)

    def add(port: int, size: int, wrong: bool = False, *, tcp: str = "") -> None:
        l4 = TCP(dport=9, flags=tcp) if tcp else UDP(dport=9)
        inner = Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / l4 / bytes(size)
        outer = IP(src="198.18.0.1", dst="198.18.0.2") / UDP(sport=port, dport=4789)
        data = bytes(Ether() / outer / VXLAN(vni=7) / inner)
        layout = dissect(data)
        assert layout
        counter.add(data, len(data), layout, wrong)

    add(1, 1)
    add(1, 1422, True)
    add(2, 20)
    add(1, 100, tcp="A")
    add(1, 101, True, tcp="PA")
    assert counter.tally() == {
        "outer source port": {"1": (4, 2), "2": (1, 0)},
        "length": {"odd": (2, 1), "even": (3, 1)},
        "size": {"under 60": (1, 0), "full": (1, 1), "60 to 64": (1, 0), "65 and up": (2, 1)},
        "TCP PSH": {"not set": (1, 0), "set": (1, 1)},
        "previous frame": {"right": (2, 2), "wrong": (1, 0)},
    }
    for port in range(100, 400):
        add(port, 1)
    ports = counter.tally()["outer source port"]
    assert len(ports) == 65
    assert ports["1"] == (4, 2)
    assert sum(frames for frames, _ in ports.values()) == 305
    assert ports[OTHERS][0] == 305 - sum(n for v, (n, _) in ports.items() if v != OTHERS)
