"""The kernel's own traffic through soft NICs, checked by tshark on the receiving end."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from qualification.lab import loopback
from qualification.lab.loopback import RunningLab
from qualification.lab.softnic.tap import inside
from qualification.topology import Topology

pytestmark = pytest.mark.lab

SO_RCVBUFFORCE = 33
UDP_SEGMENT = 103
GOOD, BAD = "1", "0"
NONE = {4: "3", 6: "4"}  # over IPv6 tshark calls a UDP checksum of 0 illegal (but RFC 6935)

Tunnel = Callable[..., None]


@pytest.fixture
def lab(two_hosts: Callable[..., Topology]) -> Iterator[RunningLab]:
    with loopback.start(two_hosts()) as lab:
        yield lab


def open_socket(lab: RunningLab, host: str, family: int, kind: int) -> socket.socket:
    with inside(lab.record.namespace(host)):
        opened = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6, kind)
    opened.settimeout(5)
    return opened


def address(host: str, vni: int, family: int) -> str:
    number = {"alpha": 1, "bravo": 2}[host]
    return f"10.{vni}.0.{number}" if family == 4 else f"fd00:{vni}::{number}"


def tcp(lab: RunningLab, vni: int, family: int, size: int) -> None:
    """Sends `size` bytes from alpha to bravo, and asserts that the same bytes arrive."""
    sent = bytes(range(256)) * (size // 256 + 1)
    got = bytearray()
    with open_socket(lab, "bravo", family, socket.SOCK_STREAM) as server:
        server.bind((address("bravo", vni, family), 0))
        server.listen()

        def receive() -> None:
            connection, _ = server.accept()
            connection.settimeout(5)
            with connection:
                while chunk := connection.recv(1 << 18):
                    got.extend(chunk)

        receiver = threading.Thread(target=receive)
        receiver.start()
        with open_socket(lab, "alpha", family, socket.SOCK_STREAM) as client:
            client.connect(server.getsockname())
            client.sendall(sent)
        receiver.join()
    assert bytes(got) == sent


def udp(lab: RunningLab, vni: int, family: int, *, count: int, size: int, segment: int = 0) -> int:
    """Sends datagrams from alpha to bravo.

    Returns:
        The number of datagrams that arrived; with `segment`, each send is one super-packet.
    """
    with (
        open_socket(lab, "bravo", family, socket.SOCK_DGRAM) as server,
        open_socket(lab, "alpha", family, socket.SOCK_DGRAM) as client,
    ):
        server.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 1 << 28)
        server.bind((address("bravo", vni, family), 0))
        client.connect(server.getsockname())
        if segment:
            client.setsockopt(socket.SOL_UDP, UDP_SEGMENT, segment)
        payload = bytes(number % 251 for number in range(size))
        pieces = [payload[at : at + (segment or size)] for at in range(0, size, segment or size)]
        for _ in range(count):
            client.send(payload)
        arrived = 0
        with contextlib.suppress(TimeoutError):
            while arrived < count * len(pieces):
                assert server.recv(1 << 16) in pieces
                arrived += 1
                server.settimeout(1)
    return arrived


def counter(lab: RunningLab, host: str, protocol: str, name: str) -> int:
    """Returns an SNMP counter of a host's kernel."""
    with inside(lab.record.namespace(host)):
        lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith(f"{protocol}:"))
    return int(values[names.index(name)])


@dataclass
class Frame:
    """Fields of a frame by tshark; of two layers, the outer one is first."""

    length: int
    ip: list[str]
    udp: list[str]
    udp_field: list[str]
    tcp: list[str]
    malformed: str


@contextlib.contextmanager
def capture(lab: RunningLab, host: str, file: Path) -> Iterator[None]:
    """Captures all that arrives at a host, frame by frame: GRO is off from then on."""
    command = ["ip", "netns", "exec", lab.record.namespace(host)]
    subprocess.run([*command, "ethtool", "-K", "p0", "gro", "off"], check=True)
    command += ["tcpdump", "-i", "p0", "-Q", "in", "--immediate-mode"]
    with subprocess.Popen(
        [*command, "-s", "2048", "-B", "65536", "-U", "-w", str(file), "-Z", "root"],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        while "listening on" not in process.stderr.readline():
            assert process.poll() is None
        try:
            yield
        finally:
            time.sleep(0.3)
            process.terminate()
            assert "0 packets dropped by kernel" in process.stderr.read()


def read(file: Path, display_filter: str = "") -> list[Frame]:
    fields = ["frame.len", "ip.checksum.status", "udp.checksum.status", "udp.checksum"]
    fields += ["tcp.checksum.status", "_ws.malformed"]
    options = [f"-o{layer}.check_checksum:TRUE" for layer in ("ip", "udp", "tcp")]
    # Only a segment's bytes count, and no port makes it another protocol than UDP.
    options += ["-otcp.analyze_sequence_numbers:FALSE", "-oudp.try_heuristic_first:FALSE"]
    columns = ["-Tfields", "-Eseparator=;", *(word for field in fields for word in ("-e", field))]
    out = subprocess.run(
        ["tshark", "-n", "-r", str(file), *options, "-Y", display_filter, *columns],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    frames = []
    for line in out.splitlines():
        length, *lists, malformed = line.split(";")
        ip, udp_status, udp_field, tcp_status = (text.split(",") if text else [] for text in lists)
        frames.append(Frame(int(length), ip, udp_status, udp_field, tcp_status, malformed))
    return frames


@pytest.mark.parametrize("csum", [True, False], ids=["csum", "nocsum"])
@pytest.mark.parametrize("family", [4, 6], ids=["ipv4", "ipv6"])
def test_all_is_right_on_the_wire(
    lab: RunningLab, tunnel: Tunnel, tmp_path: Path, family: int, csum: bool
) -> None:
    vni = 30
    tunnel(lab, vni=vni, family=family, csum=csum)
    file = tmp_path / "arrived.pcap"
    with capture(lab, "bravo", file):
        for inner in (4, 6):
            tcp(lab, vni, inner, 300_000)
            assert udp(lab, vni, inner, count=20, size=333) == 20
            assert udp(lab, vni, inner, count=5, size=1301 * 10 + 7, segment=1301) == 55
    counted = lab.counters()["alpha.port0"]
    # Of TCP and of UDP_SEGMENT: the stack really left segmentation to the NIC.
    assert counted["super_packets"] >= 20
    assert counted["segments"] >= 2 * (300_000 // 1400 + 55) - 40
    # Frames sent before the other interface is up (multicast listener reports) are lost.
    finished = counted["taken"] - counted["super_packets"] + counted["segments"]
    assert counted["sent"] + counted["dropped"] == finished

    frames = read(file, "vxlan")
    assert len(frames) >= 2 * (300_000 // 1400 + 20 + 55)
    for frame in frames:
        assert not frame.malformed, frame
        assert set(frame.ip) <= {GOOD}, frame
        assert set(frame.tcp) <= {GOOD}, frame
        outer, *inner_udp = frame.udp
        assert outer == (GOOD if csum else NONE[family]), frame
        assert (frame.udp_field[0] == "0x0000") == (not csum), frame
        assert set(inner_udp) <= {GOOD}, frame
    assert any(frame.tcp for frame in frames)
    assert any(len(frame.udp) == 2 for frame in frames)


def test_plain_traffic_is_right_too(lab: RunningLab, tunnel: Tunnel, tmp_path: Path) -> None:
    tunnel(lab, vni=30, family=4, csum=True)
    file = tmp_path / "arrived.pcap"
    with (
        capture(lab, "bravo", file),
        open_socket(lab, "bravo", 4, socket.SOCK_DGRAM) as server,
        open_socket(lab, "alpha", 4, socket.SOCK_DGRAM) as client,
    ):
        server.bind(("198.18.30.2", 5000))
        client.connect(server.getsockname())
        client.send(b"x")  # a frame of 43 bytes, were there no padding
        assert server.recv(99) == b"x"
        client.setsockopt(socket.SOL_UDP, UDP_SEGMENT, 1000)
        client.send(bytes(3500))
        assert [len(server.recv(9999)) for _ in range(4)] == [1000, 1000, 1000, 500]
    frames = read(file, "udp.port == 5000")
    assert [frame.length for frame in frames] == [60, 1042, 1042, 1042, 542]
    assert all(frame.udp == [GOOD] and frame.ip == [GOOD] for frame in frames)


def test_burst_arrives_whole(lab: RunningLab, tunnel: Tunnel) -> None:
    tunnel(lab, vni=30, family=4, csum=True)
    assert udp(lab, 30, 4, count=20_000, size=16) == 20_000


def test_random_p_hits_its_share_and_nothing_else(
    two_hosts: Callable[..., Topology], tunnel: Tunnel, tmp_path: Path
) -> None:
    share, file = 0.1, tmp_path / "arrived.pcap"
    with loopback.start(two_hosts(alpha={"model": "random-p", "p": share})) as lab:
        assert lab.topology.nic("alpha.port0").firmware == "random-p p=0.1"
        assert lab.topology.nic("bravo.port0").firmware == "good"
        tunnel(lab, vni=50, family=4, csum=True)
        tunnel(lab, vni=51, family=4, csum=False)
        with capture(lab, "bravo", file):
            udp(lab, 50, 4, count=100, size=1000 * 40, segment=1000)
            assert udp(lab, 50, 4, count=300, size=1000) == 300
            assert udp(lab, 51, 4, count=20, size=1000 * 40, segment=1000) == 800
        hit = [frame for frame in read(file, "vxlan.vni == 50 && ip") if frame.udp[0] == BAD]
        assert all(len(frame.udp) == 2 and frame.udp[1] == GOOD for frame in hit)
        assert all("0x0000" not in frame.udp_field for frame in hit)
        # 4000 segments at 10 %: mean 400, standard deviation 19.
        assert 400 - 5 * 19 < len(hit) < 400 + 5 * 19
        spared = read(file, "vxlan.vni == 51 && udp.length == 1008")
        assert len(spared) == 800
        assert all(frame.udp == [NONE[4], GOOD] for frame in spared)
        assert counter(lab, "bravo", "Udp", "InCsumErrors") == len(hit)
