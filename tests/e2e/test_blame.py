"""Who is blamed, in whole runs on the loopback lab: the NIC, its path, its peer, or nobody."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import SMALL, TOPOLOGIES, Edit, Persistent, four_only, rows, vxqual

pytestmark = pytest.mark.lab

DEMAND = ("--plan", "quick", "--rate", "0.005")
LONG = ("--plan", "quick", "--rate", "0.002")
BULK = "all-on and inner4 and (tcp or udp]) and not vlan and not load and not both"
LEFT = "hw csum failure"


def topology_of(path: Path, nic: str = "", firmware: str = "") -> Path:
    """The loopback lab, IPv4 alone, with a firmware on one of its NICs."""
    text = four_only((TOPOLOGIES / "loopback.yaml").read_text())
    path.write_text(text + (f"  firmwares: {{{nic}: {{{firmware}}}}}\n" if firmware else ""))
    return path


def outcome(out: Path) -> str:
    said: str = json.loads((out / "latest/matrix.json").read_text())["run"]["outcome"]
    return said


def verdicts(out: Path) -> set[str]:
    return {cell["verdict"] for cell in rows(out).values()}


def reasons(out: Path) -> str:
    return "\n".join(cell["reason"] for cell in rows(out).values())


def test_a_path_that_corrupts_distrusts_the_pair(tmp_path: Path) -> None:
    """Frames are wrong with every offload off as well, so no cell says anything about the NIC."""
    topology = topology_of(tmp_path / "lab.yaml", "alpha.port0", "model: path-corrupt, p: 0.01")
    done = vxqual("run", topology, *SMALL, "--out", tmp_path, "-k", "all-on/outer4-csum/inner4/udp")
    assert done.returncode == 10, done.stdout
    assert (outcome(tmp_path), verdicts(tmp_path)) == ("NOT JUDGED", {"UNTRUSTED"})
    assert "are wrong with every offload off" in reasons(tmp_path)
    assert "; the first: inner UDP checksum is 0x" in reasons(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("p", ["0.00001", "0.0001", "0.0005"])
def test_a_path_that_corrupts_now_and_then_blames_no_nic(tmp_path: Path, p: str) -> None:
    """The controls may see none of it, and cells with offloads on a frame or two."""
    topology = topology_of(tmp_path / "lab.yaml", "alpha.port0", f"model: path-corrupt, p: {p}")
    done = vxqual("run", topology, *LONG, "--out", tmp_path, "-k", f"{BULK} and not symptom")
    assert done.returncode in (10, 11), done.stdout
    assert verdicts(tmp_path) <= {"PASS", "UNTRUSTED", "INCONCLUSIVE"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("p", "demand"), [("0.0001", "0.0002"), ("0.001", "0.002"), ("0.05", "0.01")]
)
def test_a_nic_that_corrupts_now_and_then_is_to_blame(tmp_path: Path, p: str, demand: str) -> None:
    """A rare fault is measured longer, with its offloads and without any, until it shows."""
    topology = topology_of(tmp_path / "lab.yaml", "alpha.port0", f"model: random-p, p: {p}")
    done = vxqual(
        *("run", topology, "--plan", "quick", "--rate", demand, "--no-symptom"),
        *("--out", tmp_path, "-k", f"{BULK} and outer4-csum"),
    )
    assert done.returncode == 1, done.stdout
    assert outcome(tmp_path) == "NOT QUALIFIED"


@pytest.mark.slow
def test_what_the_peer_drops_is_not_lost_by_the_nic(tmp_path: Path) -> None:
    topology = topology_of(tmp_path / "lab.yaml", "bravo.port0", "model: no-room, p: 0.01")
    done = vxqual(
        *("run", topology, *SMALL, "--out", tmp_path, "--partial-ok", "--no-symptom"),
        *("-k", "all-on/outer4-csum/inner4/udp/"),
    )
    assert done.returncode == 0, done.stdout
    assert verdicts(tmp_path) == {"PASS"}
    dropped = [cell for cell in rows(tmp_path).values() if cell["lost"]]
    assert dropped, "one frame in 100 of some thousand is dropped"
    for cell in dropped:
        assert f"the peer dropped {cell['lost']:,} frames (link.rx_dropped " in cell["reason"]


@pytest.mark.slow
def test_the_path_loses_what_the_peer_does_not_count(tmp_path: Path) -> None:
    topology = topology_of(tmp_path / "lab.yaml", "alpha.port0", "model: lossy, p: 0.02")
    done = vxqual("run", topology, *DEMAND, "--out", tmp_path, "-k", f"{BULK} and outer4-csum")
    assert done.returncode in (10, 11), done.stdout
    assert verdicts(tmp_path) <= {"PASS", "INCONCLUSIVE"}
    assert "with all offloads off" in reasons(tmp_path)


@pytest.mark.slow
def test_a_nic_that_drops_all_that_it_offloads_is_no_filter(tmp_path: Path) -> None:
    topology = topology_of(tmp_path / "lab.yaml", "alpha.port0", "model: silent-drop, p: 1.0")
    done = vxqual(
        *("run", topology, *SMALL, "--out", tmp_path, "--no-symptom"),
        *("-k", "all-on/outer4-csum/inner4/udp/lengths] or all-on/outer4-csum/inner4/udp]"),
    )
    assert done.returncode == 1, done.stdout
    assert verdicts(tmp_path) == {"LOSS"}


def test_a_nic_that_sends_frames_twice_is_to_blame(tmp_path: Path) -> None:
    topology = topology_of(tmp_path / "lab.yaml", "alpha.port0", "model: duplicated, p: 0.3")
    done = vxqual(
        *("run", topology, *SMALL, "--out", tmp_path, "--no-symptom"),
        *("-k", "outer4-csum/inner4/udp] and (all-on or all-off)"),
    )
    assert done.returncode == 1, done.stdout
    found = rows(tmp_path)
    on, off = (
        found["soft/all-on/outer4-csum/inner4/udp"],
        found["soft/all-off/outer4-csum/inner4/udp"],
    )
    assert (on["verdict"], off["verdict"]) == ("FAIL", "PASS")
    assert "more frames arrived than the" in on["reason"]
    assert "datagrams were delivered twice; with all offloads off none of" in on["reason"]


@contextlib.contextmanager
def logged(line: str) -> Iterator[None]:
    """Writes a line to the kernel log again and again, as a NIC does that miscounts."""
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(0.6):  # the kernel takes 10 lines in 5 s (printk_devkmsg)
            with Path("/dev/kmsg").open("w") as log:
                log.write(f"<4>port0: {line}\n")

    thread = threading.Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.slow  # every other run on this machine would find the lines, too
def test_what_the_kernel_logs_is_told(tmp_path: Path) -> None:
    topology = topology_of(tmp_path / "lab.yaml")
    with logged(LEFT):
        done = vxqual(
            *("run", topology, *DEMAND, "--out", tmp_path, "--partial-ok"),
            *("-k", "all-on/outer4-csum/inner4/udp"),
        )
    assert done.returncode == 0, done.stdout
    assert verdicts(tmp_path) == {"PASS"}
    assert f"kernel logged: port0: {LEFT}" in reasons(tmp_path)


@pytest.mark.parametrize(
    "cells",
    [
        "all-on/outer4-csum/inner4 and (tcp] or udp/lengths)",
        pytest.param("", marks=pytest.mark.slow),
    ],
    ids=["some", "all"],
)
def test_a_nic_without_offloads_passes_nothing_as_its_own(tmp_path: Path, cells: str) -> None:
    topology = topology_of(tmp_path / "lab.yaml", "alpha.port0", "model: no-offloads")
    some = ("--partial-ok", "-k", cells) if cells else ()
    done = vxqual("run", topology, *SMALL, "--out", tmp_path, "--no-symptom", *some)
    assert done.returncode == 12, done.stdout
    assert outcome(tmp_path) == "NOT EXERCISED"
    found = rows(tmp_path)
    assert {cell["flow"]["state"] for cell in found.values()} > {"two-ports"}
    for id_, cell in found.items():
        if cell["flow"]["direction"] == "send" and "/all-off/" not in id_:
            assert cell["verdict"] in ("UNSUPPORTED", "NOT EXERCISED"), cell


REFUSES = """\
import errno, socket

class Socket(socket.socket):
    def send(self, data, *flags):
        if self.family == socket.AF_PACKET and data[1] == 5 and len(data) > 20_000:
            raise OSError(errno.EINVAL, "Invalid argument")
        return super().send(data, *flags)

socket.socket = Socket
"""
"""A kernel that refuses some UDP super-packets (gso_type 5, include/uapi/linux/virtio_net.h)."""
PYTHON = """\
#!{python}
import os, sys
before = sys.argv[1:-1]
os.execv({python!r}, [{python!r}, *before, {patch!r} + sys.argv[-1]])
"""


@pytest.mark.slow
def test_a_kernel_that_takes_part_of_a_packet_set_passes_nothing(
    lab: Persistent, changed: Callable[[Edit], Path], tmp_path: Path
) -> None:
    fake = tmp_path / "python3"
    fake.write_text(PYTHON.format(python=sys.executable, patch=REFUSES))
    fake.chmod(0o755)
    words = lab.document["hosts"]["alpha"]["ssh"]["proxy_command"].split()
    config = tmp_path / "sshd_config"
    original = Path(words[-1]).read_text()
    path = f"SetEnv HOME={tmp_path} PATH={tmp_path}:/usr/sbin:/usr/bin "
    config.write_text(original.replace("SetEnv ", path))
    topology = changed(
        lambda document: document["hosts"]["alpha"]["ssh"].update(
            proxy_command=" ".join([*words[:-1], str(config)])
        )
    )
    done = vxqual(
        "run",
        topology,
        *SMALL,
        "--out",
        tmp_path,
        "-k",
        "all-on/outer4-csum/inner4/udp-seg/boundaries]",
    )
    assert done.returncode == 10, done.stdout
    assert verdicts(tmp_path) == {"INCONCLUSIVE"}, done.stdout
    for cell in rows(tmp_path).values():
        assert re.search(
            r"the DUT's kernel took buffers for [1-9]\d* of [\d,]+ frames of the crafted",
            cell["reason"],
        ), cell
