"""Small captures of what people capture, each with what has to be said of it.

All addresses are from documentation ranges, all payloads made up. Each case says what the right
answer is, by RFC, in its docstring.
"""

from __future__ import annotations

import ipaddress
import struct

A4, B4, C4 = (ipaddress.ip_address(a).packed for a in ("192.0.2.1", "192.0.2.2", "198.51.100.7"))
A6, B6, C6 = (ipaddress.ip_address(a).packed for a in ("2001:db8::1", "2001:db8::2", "2001:db8::7"))
I4, J4 = (ipaddress.ip_address(a).packed for a in ("10.0.0.1", "10.0.0.2"))


def fold(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def csum(data):
    return 0xFFFF - fold(data)


def pseudo(src, dst, protocol, length):
    return (
        src + dst + struct.pack(">HH", protocol, length)
        if len(src) == 4
        else (src + dst + struct.pack(">II", length, protocol))
    )


def ip4(protocol, payload, src=A4, dst=B4, options=b"", flags=0, ident=7, total=None):
    size = 20 + len(options)
    total = size + len(payload) if total is None else total
    head = struct.pack(">BBHHHBBH", 0x40 | size // 4, 0, total, ident, flags, 64, protocol, 0)
    head += src + dst + options
    return head[:10] + struct.pack(">H", csum(head)) + head[12:] + payload


def ip6(protocol, payload, src=A6, dst=B6):
    return struct.pack(">IHBB", 0x60000000, len(payload), protocol, 64) + src + dst + payload


def udp(payload, sport=40000, dport=9, src=A4, dst=B4, check=None):
    head = struct.pack(">HHHH", sport, dport, 8 + len(payload), 0)
    if check is None:
        check = csum(pseudo(src, dst, 17, 8 + len(payload)) + head + payload) or 0xFFFF
    return head[:6] + struct.pack(">H", check) + payload


def tcp(payload, src=A4, dst=B4, wrong=0, partial=False):
    head = struct.pack(">HHIIBBHHH", 40000, 80, 1, 1, 0x50, 0x18, 512, 0, 0)
    check = csum(pseudo(src, dst, 6, 20 + len(payload)) + head + payload)
    if partial:  # what the kernel leaves for the NIC (CHECKSUM_PARTIAL): the pseudo-header's sum
        check = fold(pseudo(src, dst, 6, 20 + len(payload)))
    return head[:16] + struct.pack(">H", check ^ wrong) + head[18:] + payload


def eth(kind, payload, tags=b""):
    return b"\x02\0\0\0\0\x02" + b"\x02\0\0\0\0\x01" + tags + struct.pack(">H", kind) + payload


def vxlan(frame, vni=42, dport=4789, check=0, src=A4, dst=B4, first=b"\x08\0\0\0"):
    return udp(first + struct.pack(">I", vni << 8) + frame, 50000, dport, src, dst, check)


def good_vxlan(wrong=0):
    inner = eth(0x0800, ip4(6, tcp(b"hello", I4, J4, wrong), I4, J4))
    return eth(0x0800, ip4(17, vxlan(inner, check=None)))


def pcap(*frames, link=1, magic=0xA1B2C3D4, order="<", version=(2, 4), swap=False, wire=None):
    out = struct.pack(order + "IHHiIII", magic, *version, 0, 0, 262144, link)
    for number, frame in enumerate(frames):
        lengths = (len(frame), wire or len(frame))
        out += struct.pack(order + "IIII", 1, number, *(lengths[::-1] if swap else lengths)) + frame
    return out


def block(kind, body):
    body += bytes(-len(body) % 4)
    size = struct.pack("<I", 12 + len(body))
    return struct.pack("<I", kind) + size + body + size


def pcapng(links, packets):
    out = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    for link in links:
        out += block(1, struct.pack("<HHI", link, 0, 262144))
    for interface, frame in packets:
        head = struct.pack("<IIIII", interface, 0, 1, len(frame), len(frame))
        out += block(6, head + frame)
    return out


PLAIN = eth(0x0800, ip4(6, tcp(b"hello")))
NULL = struct.pack("<I", 2) + ip4(6, tcp(b"hello"))


def c01_mixed_links():
    """pcapng of Wireshark's «any two interfaces»: Ethernet with a wrong inner TCP, then loopback.
    Right: say that frame 1 is wrong (exit 1) and that frame 2's link type is not judged.
    """
    return pcapng([1, 0], [(0, good_vxlan(wrong=1)), (1, NULL)])


def c03_plain_all_right():
    """No VXLAN, every checksum there is right. Right: «all 1 frame right; no VXLAN among them»:
    not «nothing could be judged», which the table below that line contradicts.
    """
    return pcap(PLAIN)


def c04_geneve_inner_wrong():
    """Good VXLAN, and Geneve (UDP 6081) with a wrong inner TCP; same NIC feature, tx-udp_tnl-*.
    Right: frame 2 wrong, or at least «unjudged: Geneve»; not «all 2 frames right», exit 0.
    """
    inner = eth(0x0800, ip4(6, tcp(b"hello", I4, J4, wrong=1), I4, J4))
    geneve = udp(b"\0\0\x65\x58" + struct.pack(">I", 42 << 8) + inner, 50000, 6081)
    return pcap(good_vxlan(), eth(0x0800, ip4(17, geneve)))


def c07_offload_signature():
    """Good VXLAN, and one whose inner TCP field holds the pseudo-header's sum: never filled in.
    Right: tell it from a checksum that was computed wrongly (frame 3), by number.
    """
    inner = eth(0x0800, ip4(6, tcp(b"hello", I4, J4, partial=True), I4, J4))
    return pcap(good_vxlan(), eth(0x0800, ip4(17, vxlan(inner))), good_vxlan(wrong=0x0100))


def c08_routing_header():
    """IPv6 type 0 routing header, one segment left, TCP right for the last address in the header.
    Right: good (RFC 8200, 8.1: «the final destination»; it is in the header, so it is known).
    """
    route = bytes([6, 2, 0, 1]) + bytes(4) + C6
    packet = ip6(43, route + tcp(b"hello", A6, C6))
    return pcap(good_vxlan(), eth(0x86DD, packet))


def c11_not_called_ip():
    """IPv4 behind PPPoE, MPLS and LLC/SNAP, each with a wrong TCP. Right: wrong, or unjudged and
    named; not «not IP», with exit 0.
    """
    bad = ip4(6, tcp(b"hello", wrong=1))
    pppoe = b"\x11\0\0\x01" + struct.pack(">HH", len(bad) + 2, 0x0021) + bad
    snap = b"\xaa\xaa\x03\0\0\0\x08\0" + bad
    frames = eth(0x8864, pppoe), eth(0x8847, b"\0\x01\x01\x40" + bad), eth(len(snap), snap)
    return pcap(good_vxlan(), *frames)


def c13_fragmented_tunnel():
    """VXLAN datagram in two IP fragments, both there, the inner TCP wrong. Right: put together and
    judged: wrong (tshark does with ip.defragment).
    """
    whole = vxlan(eth(0x0800, ip4(6, tcp(bytes(200), I4, J4, wrong=1), I4, J4)))
    first, second = ip4(17, whole[:160], flags=0x2000), ip4(17, whole[160:], flags=160 // 8)
    return pcap(good_vxlan(), eth(0x0800, first), eth(0x0800, second))


def c17_link_null():
    """Link type 0 (BSD loopback, macOS, Windows Npcap). Right: judged, family 2 or 24/28/30."""
    return pcap(struct.pack("<I", 2) + good_vxlan(wrong=1)[14:], link=0)


def c19_sctp():
    """SCTP with a wrong CRC32c, which NICs compute as well (tx-checksum-sctp). Right: wrong."""
    init = struct.pack(">HHII", 5000, 5001, 0, 0xDEADBEEF)
    init += struct.pack(">BBHIIHHI", 1, 0, 20, 1, 65535, 1, 1, 1)
    return pcap(good_vxlan(), eth(0x0800, ip4(132, init)))


def c20_8472_not_seen():
    """VXLAN on 8472, inner TCP wrong, outer without a checksum, besides VXLAN on 4789.
    Right: notice what looks like VXLAN on another port; not «all 2 frames right», exit 0.
    """
    inner = eth(0x0800, ip4(6, tcp(b"hello", I4, J4, wrong=1), I4, J4))
    return pcap(good_vxlan(), eth(0x0800, ip4(17, vxlan(inner, dport=8472))))


def c22_receiver_with_gro():
    """What tcpdump writes on a *receiver* whose GRO is on (the default): two segments as one frame
    of 2,800 bytes, both checksums replaced by the pseudo-header's sum (tcp4_gro_complete,
    udp_gro_complete). Nothing was wrong on the wire. Right: unjudged, «put together by GRO (or not
    yet cut: sender); turn GRO off and capture again»; not wrong, and no NIC's fault.
    """
    inner = eth(0x0800, ip4(6, tcp(bytes(2800), I4, J4, partial=True), I4, J4))
    seed = fold(pseudo(A4, B4, 17, 16 + len(inner)))
    return pcap(good_vxlan(), eth(0x0800, ip4(17, vxlan(inner, check=seed))))
