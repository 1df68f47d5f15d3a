"""The soft NIC's checksums and segments against scapy's, on generated frames of every shape."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrDestOpt
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from qualification.lab.softnic.offload import finish
from qualification.lab.softnic.tx_descriptor import GSO_TCP4, GSO_TCP6, GSO_UDP, parse
from qualification.wire.checksum import pseudo_sum

TUNNEL_IPV4, TUNNEL_IPV6, ECN = 0x20, 0x40, 0x80
NEEDS_CSUM, TUNNEL_CSUM = 1, 8

payloads = st.one_of(
    st.binary(max_size=300),
    st.builds(lambda size, byte: bytes([byte]) * size, st.integers(0, 9000), st.integers(0, 255)),
)


@st.composite
def wire_packets(draw: st.DrawFn) -> Packet:
    """Draws a correct packet, plain or in VXLAN, as scapy builds it."""
    packet = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
    for _ in range(draw(st.integers(0, 2))):
        packet /= Dot1Q(vlan=draw(st.integers(1, 4094)))
    if draw(st.booleans()):
        packet /= draw(ip_headers())
        outer = UDP(sport=draw(ports), dport=draw(st.sampled_from([4789, 8472])))
        if not draw(st.booleans()):
            outer.chksum = 0
        packet /= outer / VXLAN(vni=draw(st.integers(0, 0xFFFFFF)), flags=8)
        packet /= Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:04")
        if draw(st.booleans()):
            packet /= Dot1Q(vlan=7)
    packet /= draw(ip_headers())
    if draw(st.booleans()):
        packet /= UDP(sport=draw(ports), dport=draw(st.integers(5000, 5010)))
    else:
        packet /= TCP(
            sport=draw(ports),
            dport=5001,
            seq=draw(st.integers(0, 0xFFFFFFFF)),
            ack=draw(st.integers(0, 0xFFFFFFFF)),
            flags=draw(st.integers(0, 0x1FF)),
            options=draw(st.sampled_from([[], [("NOP", None)], [("Timestamp", (1, 2))]])),
        )
    return packet / Raw(draw(payloads))


ports = st.integers(49152, 65535)


@st.composite
def ip_headers(draw: st.DrawFn) -> Packet:
    if draw(st.booleans()):
        return IP(
            src="10.0.0.1",
            dst=draw(st.sampled_from(["10.0.0.2", "255.255.255.254"])),
            id=draw(st.integers(0, 0xFFFF)),
            tos=draw(st.integers(0, 255)),
            flags=draw(st.sampled_from(["", "DF"])),
        )
    return IPv6(src="fd00::1", dst="fd00::2", tc=draw(st.integers(0, 255)), fl=5)


def innermost(packet: Packet, kind: type[Packet]) -> Any:
    """Returns the last layer of a kind, such as the IP inside the tunnel."""
    count = 1
    while packet.getlayer(kind, count + 1) is not None:
        count += 1
    return packet.getlayer(kind, count)


def l4_of(packet: Packet) -> Any:
    tcp = packet.getlayer(TCP)
    return tcp if tcp is not None else innermost(packet, UDP)


def offset_of(packet: Packet, layer: Packet) -> int:
    """Returns the offset of a layer, for packets that were dissected from bytes."""
    return len(packet.original) - len(layer.original)


def leave_pseudo_sum(packet: Packet, l4: Any, frame: bytearray) -> None:
    """Writes the pseudo-header sum into a checksum field, as the kernel does."""
    ip: Any = l4.underlayer
    at = offset_of(packet, l4)
    raw = bytes(ip.original)
    source, destination = (raw[12:16], raw[16:20]) if ip.version == 4 else (raw[8:24], raw[24:40])
    protocol = 6 if isinstance(l4, TCP) else 17
    total = pseudo_sum(source, destination, protocol, len(frame) - at) % 65535
    struct.pack_into("!H", frame, at + (16 if protocol == 6 else 6), total)


def submit(packet: Packet, gso_size: int = 0) -> bytes:
    """Returns a correct packet as the kernel submits it to a NIC that finishes it."""
    l4 = l4_of(packet)
    frame = bytearray(packet.original)
    leave_pseudo_sum(packet, l4, frame)
    flags, gso_type, outer_l4, inner_l3 = NEEDS_CSUM, 0, 0, 0
    if gso_size:
        gso_type = GSO_UDP
        if isinstance(l4, TCP):
            gso_type = GSO_TCP4 if l4.underlayer.version == 4 else GSO_TCP6
            gso_type |= ECN if l4.flags.C else 0
        if VXLAN in packet:
            outer: Any = packet.getlayer(UDP, 1)
            gso_type |= TUNNEL_IPV4 if outer.underlayer.version == 4 else TUNNEL_IPV6
            outer_l4, inner_l3 = offset_of(packet, outer), offset_of(packet, l4.underlayer)
            if outer.chksum:
                flags |= TUNNEL_CSUM
                leave_pseudo_sum(packet, outer, frame)
    start, field = offset_of(packet, l4), 16 if isinstance(l4, TCP) else 6
    header = struct.pack("<BBHHHH", flags, gso_type, 0, gso_size, start, field)
    return header + struct.pack("<HIHHHH", 0, 0, 0, 0, outer_l4, inner_l3) + bytes(frame)


def rebuilt(packet: Packet) -> Packet:
    """Returns the packet dissected from its bytes, so that every layer has its offset."""
    packet = Ether(bytes(packet))
    packet.original = packet.original or bytes(packet)
    return packet


def truth(packet: Packet, gso_size: int) -> list[bytes]:
    """Segments a packet by scapy, which computes all lengths and checksums."""
    payload = bytes(l4_of(packet).payload)
    offsets = range(0, len(payload), gso_size) or [0]
    frames = []
    for index, offset in enumerate(offsets):
        piece = packet.copy()
        l4 = l4_of(piece)
        l4.remove_payload()
        l4.add_payload(Raw(payload[offset : offset + gso_size]))
        if isinstance(l4, TCP):
            l4.seq = (l4.seq + offset) & 0xFFFFFFFF
            if offset + gso_size < len(payload):
                l4.flags &= ~0x09
            if offset:
                l4.flags &= ~0x80
        layer: Packet | None = piece
        while layer:
            if isinstance(layer, IP):
                layer.id = (layer.id + index) & 0xFFFF
                layer.len = layer.chksum = None
            elif isinstance(layer, IPv6):
                layer.plen = None
            elif isinstance(layer, UDP):
                layer.len = None
                # The outer checksum stays 0 where it was not asked for.
                layer.chksum = None if layer.chksum or layer is l4 else 0
            elif isinstance(layer, TCP):
                layer.chksum = None
            layer = layer.payload
        frames.append(bytes(piece))
    return frames


@given(wire_packets())
def test_checksum_is_scapys(packet: Packet) -> None:
    packet = rebuilt(packet)
    (frame,) = finish(parse(submit(packet), 24))
    expected = bytearray(packet.original)
    if TCP in packet and packet[TCP].chksum == 0xFFFF:
        struct.pack_into("!H", expected, offset_of(packet, packet[TCP]) + 16, 0)
    assert frame == expected


@settings(deadline=None)
@given(wire_packets(), st.integers(1, 3000))
def test_segments_are_scapys(packet: Packet, gso_size: int) -> None:
    packet = rebuilt(packet)
    gso_size = max(gso_size, len(l4_of(packet).payload) // 40 + 1)
    frames = finish(parse(submit(packet, gso_size), 24))
    assert [bytes(frame) for frame in frames] == truth(packet, gso_size)


def test_computed_zero_is_ffff_for_udp_and_zero_for_tcp() -> None:
    for l4, expected in ((UDP(sport=1, dport=2), 0xFFFF), (TCP(sport=1, dport=2), 0)):
        packet = rebuilt(Ether() / IP(src="10.0.0.1", dst="10.0.0.2") / l4 / Raw(bytes(4)))
        # With the complement of the field in the payload, the checksum is computed as 0.
        l4_of(packet).payload.load = struct.pack("!HH", l4_of(packet).chksum, 0)
        l4_of(packet).chksum = None
        packet = rebuilt(packet)
        for gso_size in (0, 4):
            (frame,) = finish(parse(submit(packet, gso_size), 24))
            assert l4_of(Ether(bytes(frame))).chksum == expected


def test_tag_that_the_kernel_leaves_to_the_device_shifts_the_tunnel_offsets() -> None:
    """tun_put_user counts the tag in csum_start, and not in the tunnel's offsets."""
    packet = rebuilt(
        Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
        / Dot1Q(vlan=5)
        / IP(src="10.0.0.1", dst="10.0.0.2", id=7)
        / UDP(sport=50000, dport=4789)
        / VXLAN(vni=1, flags=8)
        / Ether(src="02:00:00:00:00:03", dst="02:00:00:00:00:04")
        / IP(src="10.1.0.1", dst="10.1.0.2", id=9)
        / UDP(sport=50000, dport=5001)
        / Raw(bytes(250))
    )
    submitted = bytearray(submit(packet, 100))
    for at in (20, 22):
        (offset,) = struct.unpack_from("<H", submitted, at)
        struct.pack_into("<H", submitted, at, offset - 4)
    assert [bytes(frame) for frame in finish(parse(submitted, 24))] == truth(packet, 100)


@given(st.binary(max_size=80))
def test_what_asks_for_nothing_goes_out_as_it_is(frame: bytes) -> None:
    for header_size in (10, 12, 24):
        descriptor = parse(bytes(header_size) + frame, header_size)
        assert finish(descriptor) == [frame]


def test_parse_passes_over_extension_headers() -> None:
    packet = Ether() / IPv6(src="fd00::1", dst="fd00::2") / IPv6ExtHdrDestOpt() / UDP() / Raw(b"x")
    descriptor = parse(bytes(24) + bytes(packet), 24)
    assert (descriptor.l3, descriptor.l4) == (14, 62)
