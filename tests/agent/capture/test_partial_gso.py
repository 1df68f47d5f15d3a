"""Super-packets prepared for partial GSO: their headers carry the length of one segment.

Such a buffer is made here as `inet_gso_segment` and `skb_segment` leave it, and sent through
PACKET_VNET_HDR with its checksum left to do, on a device whose MTU it fits: a tx tap sees it as it
sees those of a driver with `tx-gso-partial`.
"""

from __future__ import annotations

import contextlib
import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Raw

from qualification.agent.capture import native_capture
from qualification.agent.capture.crafted import CraftedTxTap
from qualification.agent.capture.ring import Rings
from qualification.agent.capture.tx_tap import BulkTxTap, payload_length
from qualification.agent.traffic.prepared_set import PreparedSet
from qualification.agent.traffic.raw_sockets import RawSockets
from qualification.messages.bursts import CaptureOrder, Submitted
from qualification.wire.crafted.packet import CraftedPacket
from qualification.wire.dissect import dissect
from tests.built import built

MAC, OTHER = "02:aa:bb:cc:dd:ee", "02:00:00:00:00:02"
VNI, FLOW = 7001, 20_005
_NEEDS_CSUM = 1
OUTER = {4: IP(src="198.18.0.1", dst="198.18.0.2"), 6: IPv6(src="fd00::1", dst="fd00::2")}
INNER = {4: IP(src="10.0.0.1", dst="10.0.0.2"), 6: IPv6(src="fd01::1", dst="fd01::2")}


def partial(
    outer: int, inner: int, l4: str, size: int, segments: int, *, whole_udp: bool = False
) -> tuple[bytes, bytes]:
    """Returns a buffer of several segments under the headers of one, and its virtio_net_hdr.

    Args:
        outer: IP version of the underlay; 0 for no tunnel.
        inner: IP version of the segmented packet.
        l4: "tcp" or "udp".
        size: Payload bytes of each segment.
        segments: How many the buffer holds.
        whole_udp: The UDP header carries the length of the whole buffer, as kernels before 7.0
            write it (`__udp_gso_segment`, net/ipv4/udp_offload.c).
    """
    header = TCP(sport=9, dport=FLOW, flags="A") if l4 == "tcp" else UDP(sport=9, dport=FLOW)
    packet = INNER[inner] / header / Raw(bytes(size))
    if outer:
        link = Ether(src=MAC, dst=OTHER) / OUTER[outer] / UDP(sport=50_000, dport=4789)
        frame = bytes(link / VXLAN(vni=VNI) / Ether(src=OTHER, dst=OTHER) / packet)
    else:
        frame = bytes(Ether(src=MAC, dst=OTHER) / packet)
    at = len(frame) - size - (20 if l4 == "tcp" else 8)
    if whole_udp:
        frame = frame[: at + 4] + struct.pack("!H", 8 + size * segments) + frame[at + 6 :]
    vnet = struct.pack("<BBHHHH", _NEEDS_CSUM, 0, 0, 0, at, 16 if l4 == "tcp" else 6)
    return frame + bytes(size * (segments - 1)), vnet


@given(
    outer=st.sampled_from([0, 4, 6]), inner=st.sampled_from([4, 6]),
    l4=st.sampled_from(["tcp", "udp"]), size=st.integers(1, 1400), segments=st.integers(1, 40),
)  # fmt: skip
def test_a_buffer_counts_as_what_it_holds(
    outer: int, inner: int, l4: str, size: int, segments: int
) -> None:
    data, _vnet = partial(outer, inner, l4, size, segments)
    layout = dissect(data, len(data))
    packet = layout and (layout.inner if outer else layout.outer)
    assert packet
    assert payload_length(packet, data, len(data), True) == size * segments
    assert payload_length(packet, data[:256], len(data), True) == size * segments
    # What the kernel has finished holds what its headers say; what is behind it is padding.
    assert payload_length(packet, data, len(data), False) == size
    if segments == 1 and size > 5:
        assert payload_length(packet, data + bytes(5), len(data) + 5, True) == size


@pytest.fixture
def tap(net: Any) -> Any:
    """`tap(buffers, make)`: what both implementations of a tap count of these buffers."""
    built(native_capture)
    host, other = net.wire(offloads=True)
    other.ip("link", "set", "w0", "mtu", "65000")
    host.ip("link", "set", "w0", "address", MAC, "mtu", "65000")

    def counted(buffers: list[tuple[bytes, bytes]], make: Any, finish: Any) -> list[Submitted]:
        found = []
        with contextlib.closing(Rings()) as rings, host.inside():
            watching = []
            for native in (False, True):
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(BulkTxTap, "use_native", native)
                    patch.setattr(CraftedTxTap, "use_native", native)
                    watching.append(make(rings))
            with contextlib.closing(RawSockets()) as raw:
                sock = raw._open(None)
                sock.bind(("w0", 0))
                for data, vnet in buffers:
                    sock.send(vnet + data)
            found = [finish(each) for each in watching]
        assert found[0] == found[1]
        return found

    return counted


def _order(outer: int, l4: str) -> CaptureOrder:
    plain = 6 if l4 == "tcp" else 17
    return CaptureOrder(
        interface="w0", source_mac=MAC, protocols=(17 if outer else plain,),
        port=4789 if outer else FLOW, vxlan_port=4789, vni=VNI if outer else None, flow_port=FLOW,
        our_vnis=(VNI,), late_ports=(20_000, FLOW), mtu=1500, outer_checksum=True, ring=4 << 20,
        snap=256,
    )  # fmt: skip


CASES = [
    (outer, inner, l4, whole)
    for outer in (0, 4, 6)
    for inner in (4, 6)
    for l4, whole in (("tcp", False), ("udp", False), ("udp", True))
]


@pytest.mark.lab
@pytest.mark.parametrize(("outer", "inner", "l4", "whole_udp"), CASES)
def test_bulk_traffic(tap: Any, outer: int, inner: int, l4: str, whole_udp: bool) -> None:
    buffers = [
        partial(outer, inner, l4, size, segments, whole_udp=whole_udp)
        for size, segments in ((1300, 8), (1300, 2), (1300, 30), (1300, 1))
    ]
    counted, _ = tap(
        buffers,
        lambda rings: BulkTxTap(_order(outer, l4), rings),
        lambda each: each.finish(1300),
    )
    assert counted == Submitted(packets=4, frames=41, csum_partial=41, super_packets=3, segments=40)


@pytest.mark.lab
@pytest.mark.parametrize("size", [48, 88, 1300])
def test_a_crafted_set(tap: Any, size: int) -> None:
    """Small segments, whose buffer is smaller than the MTU, too."""
    buffers = [partial(4, 4, "tcp", size, segments) for segments in (3, 2, 9)]
    crafted = [
        CraftedPacket(_with_port(data, port), 64, 84, 6, size)
        for port, (data, _) in enumerate(buffers, 9)
    ]
    prepared = PreparedSet([replace(each, frame=each.frame[50:], l3=14, l4=34) for each in crafted])
    sent = [(each.frame, vnet) for each, (_, vnet) in zip(crafted, buffers, strict=True)]
    counted, _ = tap(
        sent,
        lambda rings: CraftedTxTap(_order(4, "tcp"), rings, prepared),
        lambda each: each.finish(),
    )
    assert counted == Submitted(packets=3, frames=14, csum_partial=14, super_packets=3, segments=14)


def _with_port(data: bytes, port: int) -> bytes:
    return data[:84] + struct.pack("!H", port) + data[86:]
