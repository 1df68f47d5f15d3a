"""Partial GSO with igb's driver: its super-packets are counted, judged, and missed when lost.

QEMU's model of the NIC does not know tunnels, so what it leaves undone is done on the wire: the
verdicts are about super-packets that the kernel prepared for a real driver.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from qualification.lab.qemu import lab, wiring
from qualification.topology import Topology, dump
from qualification.wire.verify import check

from .repair import Relay, segments

Guests = Callable[..., Topology]
VXQUAL = Path(sys.executable).with_name("vxqual")


def test_what_is_cut_is_right_and_carries_the_payload() -> None:
    for l4 in (UDP(sport=7, dport=8), TCP(sport=7, dport=8, flags="PA", seq=2**32 - 10)):
        one = IP(src="10.18.1.1", dst="10.18.1.2") / l4 / Raw(bytes(range(250)) * 4)
        outer = IP(src="198.18.0.1", dst="198.18.0.2", flags="DF") / UDP(sport=50_000, dport=4789)
        whole = bytes(Ether() / outer / VXLAN(vni=5) / Ether() / one) + b"more" * 300
        made = segments(whole)
        assert [len(each) for each in made] == [len(whole) - 1200] * 2 + [len(whole) - 2000]
        assert not any(check(each).bad or check(each).reason for each in made)
        cut = [Ether(each)[VXLAN][IP] for each in made]
        assert b"".join(bytes(each[Raw]) for each in cut) == bytes(range(250)) * 4 + b"more" * 300
        if TCP in one:
            assert [each[TCP].seq for each in cut] == [2**32 - 10, 990, 1990]
            assert [str(each[TCP].flags) for each in cut] == ["A", "A", "PA"]


@pytest.fixture
def relayed(
    ready: None, guests: Guests, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[[int], tuple[Relay, dict[str, Any]]]]:
    """`relayed(drop)`: the relay and the cells by id of a run on a pair of igb behind it."""
    relays: list[Relay] = []
    drop = 0

    @contextlib.contextmanager
    def cabled(ends: Iterable[wiring.Wire]) -> Iterator[dict[str, socket.socket]]:
        with wiring.cables(ends) as made:
            here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
            relays.append(Relay(there, made["alpha.igb"].dup(), drop))
            with here:
                yield made | {"alpha.igb": here}

    def run(every: int) -> tuple[Relay, dict[str, Any]]:
        nonlocal drop
        drop = every
        monkeypatch.setattr(lab, "cables", cabled)
        with lab.start(guests("igb")) as running:
            file = tmp_path / "topology.yaml"
            file.write_text(dump(running.topology))
            done = subprocess.run(
                [
                    VXQUAL, "run", "--topology", file, "--plan", "quick", "--rate", "0.002",
                    "--out", tmp_path / "out", "-k",
                    "all-on and outer4-csum and (tcp or udp-seg)"
                    " and not (vlan or load or both or rx)",
                    "-m", "not crafted",
                ],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            )  # fmt: skip
        matrix = json.loads((tmp_path / "out/latest/matrix.json").read_text())
        assert matrix["cells"], done.stdout
        return relays[-1], {cell["id"]: cell for cell in matrix["cells"]}

    yield run


@pytest.mark.real_drivers
@pytest.mark.parametrize("drop", [0, 1000])
def test_super_packets_for_partial_gso(
    relayed: Callable[[int], tuple[Relay, dict[str, Any]]], drop: int, tmp_path: Path
) -> None:
    relay, cells = relayed(drop)
    assert relay.cut > 1000
    assert (relay.dropped > 0) == bool(drop)
    for name, cell in cells.items():
        assert cell["effective"]["tx-gso-partial"], name
        # igb_features_check: TSO of inner IPv4 takes tx-tcp-mangleid-segmentation as well.
        cut = not name.endswith("inner4/tcp")
        wanted = ("LOSS" if drop else "PASS") if cut else "NOT EXERCISED"
        assert cell["verdict"] == wanted, f"{name}: {cell['reason']}"
    counted = 0
    for line in (tmp_path / "out/latest/evidence.jsonl").read_text().splitlines():
        entry = json.loads(line)
        for burst in (entry.get("evidence") or {}).get("bursts", ()):
            submitted, seen = burst["sent"]["submitted"], burst["received"]["captured"]
            if submitted["segments"]:
                counted += 1
                assert submitted["segments"] > submitted["frames"] / 2
                assert seen["frames"] == submitted["frames"] or drop
                assert seen["frames"] <= submitted["frames"]
    assert counted >= 3
    log = (tmp_path / "out/latest/vxqual.log").read_text()
    assert re.search(r"without tx-gso-partial it also loses .*tx-udp_tnl-segmentation", log)
