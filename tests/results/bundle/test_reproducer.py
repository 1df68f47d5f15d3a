"""The reproducer as a vendor runs it: alone in a directory, on two hosts, without vxqual."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN

from qualification.lab import loopback
from qualification.lab.hosts import run
from qualification.lab.loopback import RunningLab
from qualification.plan.features import SUPPORT, TNL_CSUM, VARIED
from qualification.results.bundle.reproduction import Reproduction, source
from qualification.topology import Topology
from qualification.wire.verify import check
from tests.results.page.conftest import tunnel_frame

PYTHON = "/usr/bin/python3"
FAULT, GOOD, NOT_JUDGED = 1, 0, 2
TCP4 = Reproduction(
    cell="x710/all-on/outer4-csum/inner4/tcp",
    exact=True,
    outer=4,
    outer_checksum=True,
    inner=4,
    l4="tcp",
    segmented=False,
    port=4789,
    vni=22128,
    features=dict.fromkeys((*SUPPORT, *(rule.name for rule in VARIED if rule.expected)), True),
    culprit=(TNL_CSUM,),
    rate=0.03,
    frames=3000,
)


def loaded(shown: Reproduction, directory: Path) -> ModuleType:
    path = directory / "reproduce.py"
    path.write_text(source(shown))
    spec = importlib.util.spec_from_file_location("reproduce", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("place", [0, 24, 40, 64 + 10, 84 + 16])
def test_it_judges_as_we_do(tmp_path: Path, place: int) -> None:
    judge = loaded(TCP4, tmp_path).judge
    own = bytes([198, 18, 0, 2])
    # Where the outer sum is right, from which each wrong byte takes it away.
    expected = check(tunnel_frame()).layout
    assert expected is not None
    wrong = judge(tunnel_frame(), own)
    assert len(wrong) == 1
    right = int(wrong[0].rpartition("0x")[2], 16)
    good = tunnel_frame(right)
    assert check(good).bad == 0
    assert judge(good, own) == []
    broken = bytearray(good)
    broken[place] ^= 1
    assert bool(judge(bytes(broken), own)) == bool(check(bytes(broken)).bad)


def test_other_frames_are_not_of_the_flow(tmp_path: Path) -> None:
    judge = loaded(TCP4, tmp_path).judge
    assert judge(tunnel_frame(), bytes([198, 18, 0, 9])) is None
    assert judge(bytes(Ether() / ARP()) + bytes(60), bytes(4)) is None
    tunnelled = Ether(tunnel_frame())
    tunnelled[VXLAN].vni = 7
    assert judge(bytes(tunnelled), bytes([198, 18, 0, 2])) is None


def test_every_file_of_bytes_is_survived(tmp_path: Path) -> None:
    judge = loaded(TCP4, tmp_path).judge
    whole = tunnel_frame()
    for end in range(len(whole)):
        judge(whole[:end], bytes([198, 18, 0, 2]))


@pytest.fixture(scope="module")
def lab() -> Iterator[RunningLab]:
    """alpha's NIC makes 3 % of the outer sums of super-packets wrong, bravo's is good."""
    yield from _lab(model="random-p", p=0.03)


def _lab(**firmware: Any) -> Iterator[RunningLab]:
    hosts = {
        name: {
            "nics": {
                "port0": {
                    "interface": "p0",
                    "underlay": [f"198.18.0.{number}/24", f"fd00:18::{number}/64"],
                }
            }
        }
        for number, name in enumerate(("alpha", "bravo"), 1)
    }
    topology = Topology.model_validate(
        {
            "version": 1,
            "hosts": hosts,
            "pairs": {"soft": {"dut": "alpha.port0", "peer": "bravo.port0"}},
            "lab": {"kind": "loopback", "firmwares": {"alpha.port0": firmware}},
        }
    )
    with loopback.start(topology) as lab:
        if lab.missing:
            pytest.skip(lab.missing[0])
        for number, name in enumerate(hosts, 1):
            ip = ("ip", "-n", lab.record.namespace(name))
            run(*ip, "address", "add", f"198.18.0.{number}/24", "dev", "p0")
            run(*ip, "address", "add", f"fd00:18::{number}/64", "dev", "p0", "nodad")
            run(*ip, "link", "set", "p0", "up")
        yield lab


def shown(
    lab: RunningLab, what: Reproduction, directory: Path, sender: str, *more: str
) -> tuple[int, str]:
    """Runs both ends; returns the exit code of both, which is the same, and what was printed."""
    (directory / "reproduce.py").write_text(source(what))
    ends = ("alpha", "bravo")
    receiver = ends[1 - ends.index(sender)]
    number = 1 + ends.index(receiver)
    address = f"198.18.0.{number}" if what.outer == 4 else f"fd00:18::{number}"

    def words(host: str, *rest: str) -> list[str]:
        inside = ("ip", "netns", "exec", lab.record.namespace(host))
        return [*inside, PYTHON, "-u", "-I", "reproduce.py", *rest]

    state = [state_of(lab, name) for name in ends]
    with subprocess.Popen(
        words(receiver, "receive", "p0"), cwd=directory, stdout=subprocess.PIPE, text=True
    ) as received:
        assert received.stdout is not None
        try:
            line = next((one for one in received.stdout if one.startswith("waiting")), "")
            assert address in line
            sent = subprocess.run(
                words(sender, "send", "p0", address, *more),
                cwd=directory,
                capture_output=True,
                text=True,
                check=False,
                timeout=120,
            )
            found = received.communicate(timeout=30)[0]
        finally:
            received.kill()
    assert (received.returncode, found.strip() in sent.stdout + found) == (sent.returncode, True)
    assert [state_of(lab, name) for name in ends] == state, "left changed"
    return sent.returncode, sent.stdout + sent.stderr


def state_of(lab: RunningLab, host: str) -> str:
    """The features of a NIC, and the names of all devices."""
    inside = ("ip", "netns", "exec", lab.record.namespace(host))
    made = [[*inside, "ethtool", "-k", "p0"], [*inside, "ip", "-br", "link"]]
    return "".join(
        subprocess.run(words, capture_output=True, text=True, check=True).stdout for words in made
    )


@pytest.mark.lab
def test_it_shows_the_fault_and_a_good_nic_and_the_cure(lab: RunningLab, tmp_path: Path) -> None:
    code, text = shown(lab, TCP4, tmp_path, "alpha")
    assert (code, "FAULT: " in text) == (FAULT, True), text
    assert "outer UDP checksum is 0x" in text
    code, text = shown(lab, TCP4, tmp_path, "bravo")
    assert (code, "GOOD: 0 of " in text) == (GOOD, True), text
    code, text = shown(lab, TCP4, tmp_path, "alpha", "--off", TNL_CSUM)
    assert (code, "GOOD: 0 of " in text) == (GOOD, True), text


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.parametrize("outer", [4, 6])
@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize(("l4", "segmented"), [("tcp", False), ("udp", True), ("udp", False)])
def test_every_flow(
    lab: RunningLab, tmp_path: Path, outer: int, inner: int, l4: str, *, segmented: bool
) -> None:
    flow = replace(TCP4, outer=outer, inner=inner, l4=l4, segmented=segmented)
    expected = FAULT if l4 == "tcp" or segmented else GOOD  # it needs super-packets
    code, text = shown(lab, flow, tmp_path, "alpha")
    assert code == expected, text
    code, text = shown(lab, flow, tmp_path, "bravo")
    assert code == GOOD, text


@pytest.mark.lab
@pytest.mark.slow
def test_a_fault_that_lets_nothing_through(tmp_path: Path) -> None:
    for lab in _lab(model="seed-left"):
        code, text = shown(lab, TCP4, tmp_path, "alpha")
        assert code == FAULT, text
        code, text = shown(lab, TCP4, tmp_path, "bravo")
        assert (code, "too few of 3000" in text) == (NOT_JUDGED, True), text  # alpha cannot answer


@pytest.mark.lab
@pytest.mark.parametrize(
    ("l4", "segmented"),
    [
        ("udp", False),
        pytest.param("udp", True, marks=pytest.mark.slow),
        pytest.param("tcp", False, marks=pytest.mark.slow),
    ],
)
def test_it_shows_that_frames_are_lost(tmp_path: Path, l4: str, *, segmented: bool) -> None:
    flow = replace(TCP4, l4=l4, segmented=segmented, rate=0.0, loss=0.2)
    for lab in _lab(model="silent-drop", p=0.2):
        code, text = shown(lab, flow, tmp_path, "alpha")
        assert (code, "FAULT: " in text) == (FAULT, True), text
        assert ("had to be sent again" if l4 == "tcp" else "never arrived") in text
        code, text = shown(lab, flow, tmp_path, "bravo", "--pace", "5000")
        assert (code, "GOOD: " in text) == (GOOD, True), text


RECEIVING = [
    ("rx-level", 4, 4, "were delivered: a wrong checksum inside"),
    ("rx-blind", 6, 6, "were delivered: a wrong outer checksum"),
    ("rx-strict", 4, 6, "were not delivered: no outer checksum"),
]


@pytest.mark.lab
@pytest.mark.parametrize(
    ("model", "outer", "inner", "told"),
    [RECEIVING[0], *(pytest.param(*one, marks=pytest.mark.slow) for one in RECEIVING[1:])],
)
def test_what_a_nic_receives(tmp_path: Path, model: str, outer: int, inner: int, told: str) -> None:
    flow = replace(TCP4, outer=outer, inner=inner, features={}, culprit=(), receives=True)
    for lab in _lab(model=model):
        code, text = shown(lab, flow, tmp_path, "bravo")  # to alpha, whose NIC has the fault
        assert (code, "FAULT: " in text) == (FAULT, True), text
        assert told in text
        code, text = shown(lab, flow, tmp_path, "alpha")
        assert (code, "GOOD: " in text) == (GOOD, True), text


@pytest.mark.lab
def test_without_a_receiver_it_is_not_judged(lab: RunningLab, tmp_path: Path) -> None:
    (tmp_path / "reproduce.py").write_text(source(TCP4))
    before = state_of(lab, "alpha")
    inside = ("ip", "netns", "exec", lab.record.namespace("alpha"), PYTHON, "-I", "reproduce.py")
    done = subprocess.run(
        [*inside, "send", "p0", "198.18.0.2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == NOT_JUDGED
    assert "no receiver at 198.18.0.2" in done.stderr
    assert state_of(lab, "alpha") == before


@pytest.mark.lab
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_receiver_puts_back(
    lab: RunningLab, tmp_path: Path, sent: signal.Signals
) -> None:
    (tmp_path / "reproduce.py").write_text(source(TCP4))
    before = state_of(lab, "bravo")
    inside = ("ip", "netns", "exec", lab.record.namespace("bravo"), PYTHON, "-u", "-I")
    with subprocess.Popen(
        [*inside, "reproduce.py", "receive", "p0"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as received:
        assert received.stdout is not None
        assert any(line.startswith("waiting") for line in received.stdout)
        assert state_of(lab, "bravo") != before
        received.send_signal(sent)
        said = received.communicate(timeout=30)[0]
    assert received.returncode == NOT_JUDGED
    assert "Traceback" not in said
    assert state_of(lab, "bravo") == before
