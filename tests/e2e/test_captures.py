"""The frames of a run, captured by tcpdump on the peer: `vxqual verify` compared with tshark."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path

import pytest

from qualification.lab import loopback
from qualification.topology import dump, parse

VXQUAL = Path(__file__).parents[2] / ".venv/bin/vxqual"

TOPOLOGY = """
version: 1
hosts:
  alpha: {{nics: {{port0: {{interface: port0, underlay: [198.18.7.1/24, "fd00:18:7::1/64"]}}}}}}
  bravo: {{nics: {{port0: {{interface: port0, underlay: [198.18.7.2/24, "fd00:18:7::2/64"]}}}}}}
pairs:
  soft: {{dut: alpha.port0, peer: bravo.port0}}
lab: {{kind: loopback, firmwares: {{alpha.port0: {{model: {model}}}}}}}
"""

# Statuses of Wireshark's epan/proto.c: 0 bad, 1 good, 2 unverified, 3 not present, 4 illegal, which
# is an outer UDP checksum of 0 over IPv6: legal for a tunnel (RFC 6935).
TSHARK = [
    "tshark", "-n", "-Q",
    "-o", "ip.check_checksum:TRUE",
    "-o", "udp.check_checksum:TRUE",
    "-o", "udp.ignore_ipv6_zero_checksum:TRUE",
    "-o", "tcp.check_checksum:TRUE",
    "-o", "tcp.analyze_sequence_numbers:FALSE",
    "-o", "tcp.desegment_tcp_streams:FALSE",
    "-d", "udp.port==4789,vxlan",
    # Plain UDP to these ports has any bytes as payload; tshark must not take them for headers.
    "-d", "udp.port==4790,data", "-d", "udp.port==6081,data",
    "-T", "fields", "-E", "occurrence=a", "-E", "separator=/t",
    "-e", "ip.checksum.status", "-e", "udp.checksum.status", "-e", "tcp.checksum.status",
    "-e", "tcp.checksum",
]  # fmt: skip


@pytest.fixture(params=["good", pytest.param("random-p", marks=pytest.mark.slow)])
def captured_run(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path, int]:
    """A short run on a lab, with every frame that the peer's NIC received in a file."""
    topology = tmp_path / "lab.yaml"
    pcap = tmp_path / "wire.pcap"
    with loopback.start(parse(TOPOLOGY.format(model=request.param), "lab.yaml")) as lab:
        topology.write_text(dump(lab.topology))
        namespace = lab.record.namespace("bravo")
        tcpdump = subprocess.Popen(
            [
                "ip",
                "netns",
                "exec",
                namespace,
                "tcpdump",
                "-i",
                "port0",
                "-Q",
                "in",
                "-nU",
                "-s",
                "2048",  # the size of a slot of its ring: smaller slots are more slots
                "-B",
                "65536",
                "--immediate-mode",
                "-w",
                str(pcap),
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert tcpdump.stderr
        assert "listening" in tcpdump.stderr.readline()
        run = subprocess.run(
            [
                VXQUAL,
                "run",
                "-t",
                topology,
                "--out",
                tmp_path / "out",
                "--rate=0.02",
                "--confidence=0.99",
                "--partial-ok",
                "-k",
                "control or all-on",
                "-m",
                "not crafted",
            ],
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        tcpdump.terminate()
        said = tcpdump.stderr.read()
        assert tcpdump.wait(10) == 0
    assert "\n0 packets dropped by kernel" in said, said
    print(run.stdout)
    return request.param, pcap, run.returncode


@pytest.mark.lab
def test_verify_agrees_with_tshark_on_a_run(captured_run: tuple[str, Path, int]) -> None:
    model, pcap, run_code = captured_run
    assert run_code == (0 if model == "good" else 1)

    verify = subprocess.run(
        [VXQUAL, "verify", "--frames", pcap], capture_output=True, text=True, check=False
    )
    listed = [line.split("\t") for line in verify.stdout.splitlines() if line[:1].isdigit()]
    ours = {int(number): columns for number, *columns in listed}
    theirs = subprocess.run(
        [*TSHARK, "-r", pcap], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert 5000 < max(ours) <= len(theirs)

    seen: Counter[bool] = Counter()
    for number, line in enumerate(theirs, 1):
        mine = ours.get(number)  # None: it is right
        if mine and mine[1] == "length error":
            continue  # no VXLAN header: plain UDP to its port, whose checksums are right
        ip, udp, tcp, tcp_fields = (column.split(",") for column in line.split("\t"))
        if "0xffff" in tcp_fields:
            continue  # bad for tshark, but valid for every receiver
        wrong = any(status in ("0", "4") for status in ip + udp + tcp)
        assert bool(mine) == wrong, f"frame {number}: {mine}, tshark: {line!r}"
        seen[wrong] += 1
    assert seen[False] > 5000
    # With those of the control `injected`, which are corrupt on purpose.
    assert seen[True] >= (16 if model == "good" else 50)
    assert verify.returncode == 1
