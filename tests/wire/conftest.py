"""Right frames of every shape, made by scapy, which is independent of the verifier."""

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP, IPOption_Timestamp
from scapy.layers.inet6 import (
    ICMPv6EchoRequest,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    PadN,
    RouterAlert,
)
from scapy.layers.ipsec import AH
from scapy.layers.l2 import ARP, Dot1AD, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from qualification.stack import native_walk
from tests.built import built

OUTER = {4: IP(src="192.0.2.1", dst="192.0.2.2"), 6: IPv6(src="2001:db8::1", dst="2001:db8::2")}
INNER = {4: IP(src="10.244.1.7", dst="10.244.2.9"), 6: IPv6(src="fd00::7", dst="fd00::9")}
VNI = 7001
LINK = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")  # without them scapy asks the kernel


def payload(size: int) -> Raw:
    return Raw(bytes((index * 37 + size) & 255 for index in range(size)))


def tunnel(
    inner: Packet, *, family: int = 4, source_port: int = 50000, vlan: Packet | None = None, **udp
) -> Packet:
    """Returns an inner Ethernet frame, or an IP packet with an Ethernet header, in VXLAN."""
    inside = inner if isinstance(inner, Ether) else LINK / inner
    outer = UDP(sport=source_port, dport=4789, **udp)
    return (LINK / vlan if vlan else LINK) / OUTER[family] / outer / VXLAN(vni=VNI) / inside


def _shapes() -> dict[str, Packet]:
    tcp, udp = TCP(sport=33000, dport=443, flags="PA", seq=1), UDP(sport=33001, dport=53)
    both = {"tcp": tcp, "udp": udp}
    inner_tcp = INNER[4] / tcp / payload(99)
    shapes: dict[str, Packet] = {}
    for out in (4, 6):
        for ins in (4, 6):
            for name, l4 in both.items():
                for size in (0, 1, 2, 3, 100, 1399):
                    shapes[f"{out}in{ins}-{name}-{size}"] = tunnel(
                        INNER[ins] / l4 / payload(size), family=out
                    )
            shapes[f"{out}in{ins}-noudpcsum"] = tunnel(
                INNER[ins] / udp / payload(8), family=out, chksum=0
            )
    hop, dest = IPv6ExtHdrHopByHop(options=[RouterAlert()]), IPv6ExtHdrDestOpt(options=[PadN()])
    ah = AH(nh=17, spi=1, payloadlen=4, icv=b"123456789012")  # scapy computes no checksum behind it
    route = IPv6ExtHdrRouting(segleft=0, addresses=["fd00::8"])
    return shapes | {
        "vlan-outer": tunnel(inner_tcp, vlan=Dot1Q(vlan=100, prio=3)),
        "vlan-stacked": tunnel(inner_tcp, vlan=Dot1AD(vlan=100) / Dot1Q(vlan=7)),
        "vlan-inner": tunnel(LINK / Dot1Q(vlan=9) / inner_tcp),
        "options": tunnel(
            IP(src="10.1.1.1", dst="10.1.1.2", options=[IPOption_NOP(), IPOption_Timestamp()])
            / udp
            / payload(5)
        ),
        "tcp-options": tunnel(
            INNER[4] / TCP(options=[("MSS", 1398), ("Timestamp", (1, 2))]) / payload(3)
        ),
        "extensions": tunnel(INNER[6] / hop / dest / route / udp / payload(11)),
        "atomic-fragment": tunnel(INNER[6] / IPv6ExtHdrFragment(id=5) / tcp / payload(12)),
        "ah": tunnel(INNER[4] / ah / Raw(bytes(INNER[4] / udp / payload(13))[20:])),
        "ah6": tunnel(INNER[6] / ah / Raw(bytes(INNER[6] / udp / payload(13))[40:])),
        "icmp": tunnel(INNER[4] / ICMP() / payload(56)),
        "icmpv6": tunnel(INNER[6] / ICMPv6EchoRequest(data=b"x" * 7)),
        "arp-inside": tunnel(LINK / ARP(pdst="10.244.2.9")),
        "inner-padding": tunnel(
            Ether(dst=LINK.dst, type=0x0800) / Raw(bytes(INNER[4] / udp / payload(3)) + b"padding")
        ),
        "port-49152": tunnel(inner_tcp, source_port=49152),
        "plain-udp": LINK / OUTER[4] / udp / payload(21),
        "plain-tcp6": LINK / OUTER[6] / tcp / payload(22),
        "plain-icmp": LINK / OUTER[4] / ICMP() / payload(3),
        "nested": tunnel(
            INNER[4] / UDP(sport=1, dport=4789) / VXLAN(vni=2) / LINK / INNER[4] / tcp
        ),
    }


SHAPES = {name: bytes(packet) for name, packet in _shapes().items()}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a test that requests `good_frame` on every shape."""
    if "good_frame" in metafunc.fixturenames:
        metafunc.parametrize("good_frame", SHAPES.values(), ids=SHAPES.keys())


@pytest.fixture(scope="session")
def shapes() -> dict[str, bytes]:
    """Returns right frames by the name of their shape."""
    return dict(SHAPES)


@pytest.fixture(scope="session")
def native() -> ctypes.CDLL:
    """Returns the C implementation of the verifier."""
    return built(native_walk)


@pytest.fixture
def wrap() -> Callable[..., Packet]:
    """Returns `tunnel`, to make further shapes."""
    return tunnel


@pytest.fixture
def run_tool() -> Callable[..., str]:
    """Returns a function that runs tshark or tcpdump.

    If the tool is not installed the test is skipped, but in CI it fails.
    """

    def run(*command: str) -> str:
        if shutil.which(command[0]) is None:
            message = f"{command[0]} is not installed"
            if os.environ.get("CI"):
                pytest.fail(message)
            pytest.skip(message)
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        return done.stdout

    return run
