import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers import vxlan
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import (
    HAO,
    IPv6,
    IPv6ExtHdrDestOpt,
    IPv6ExtHdrFragment,
    IPv6ExtHdrHopByHop,
    IPv6ExtHdrRouting,
    Jumbo,
)
from scapy.layers.ipsec import ESP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.sctp import SCTP
from scapy.packet import Raw

from qualification.wire.verify import (
    INNER_IP,
    INNER_L4,
    LAYERS,
    OUTER_IP,
    OUTER_L4,
    VXLAN,
    check,
    explain,
)

from .any_frame import folded
from .sanity import assert_outer_sum_is_plain, assert_sane

LINK = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")  # without them scapy asks the kernel
ETHERNET_IPV4 = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=0x0800)
IN4 = IP(src="10.244.1.7", dst="10.244.2.9")
IN6 = IPv6(src="fd00::7", dst="fd00::9")


def flip(frame: bytes, at: int, bits: int = 0xFF) -> bytes:
    return frame[:at] + bytes([frame[at] ^ bits]) + frame[at + 1 :]


def put(frame: bytes, at: int, value: int) -> bytes:
    return frame[:at] + value.to_bytes(2, "big") + frame[at + 2 :]


def l4_field(packet) -> int:
    """Offset of the checksum field."""
    return packet.l4 + {17: 6, 6: 16, 1: 2, 58: 2}[packet.protocol]


def layers(mask: int) -> set[str]:
    return {name for bit, name in LAYERS.items() if mask & bit}


# -- Right frames are right ---------------------------------------------------------------------


def test_right_frame_is_right(good_frame):
    checked = check(good_frame)
    assert (checked.bad, checked.unjudged) == (0, 0), explain(good_frame)
    assert explain(good_frame) == []
    layout = checked.layout
    if layout.inner is not None:
        assert (checked.good | checked.absent) & OUTER_L4
        assert checked.good & VXLAN
        assert checked.good & INNER_L4
        assert bool(checked.good & OUTER_IP) == (layout.outer.family == 4)
        assert bool(checked.good & INNER_IP) == (layout.inner.family == 4)


def test_ethernet_padding_is_no_part_of_it(good_frame):
    for padding in (b"\0" * 7, b"\xde\xad\xbe\xef" * 3):
        assert check(good_frame + padding)[:5] == check(good_frame)[:5]


def test_kinds_of_buffers_are_the_same(good_frame):
    assert check(bytearray(good_frame)) == check(memoryview(good_frame)) == check(good_frame)


def test_trailer_in_the_tunnel_counts_in_the_outer_sum_only(wrap):
    for size in (20, 21):
        packet = bytes(IN4 / UDP() / Raw(b"x" * size))
        frame = bytes(wrap(ETHERNET_IPV4 / Raw(packet + b"trailer")))
        assert check(frame).good == 31
        assert layers(check(flip(frame, len(frame) - 1)).bad) == {"outer L4"}


# -- Each checksum on its own -------------------------------------------------------------------


def test_each_field_is_found_where_it_is(good_frame):
    checked = check(good_frame)
    outer, inner = checked.layout.outer, checked.layout.inner
    fields = {OUTER_IP: outer.start + 10} if outer.family == 4 else {}
    if outer.checksum:
        fields[OUTER_L4] = l4_field(outer)
    for layer, at in fields.items():
        found = check(flip(good_frame, at))
        assert layers(found.bad) == layers(layer)
        assert found.good == checked.good & ~layer
        assert found.reason is None or layer == OUTER_IP or checked.layout.inner is None
    if inner is None:
        return
    fields = {INNER_IP: inner.start + 10} if inner.family == 4 else {}
    fields[INNER_L4] = l4_field(inner)
    for layer, at in fields.items():
        delta = check(flip(good_frame, at))
        assert layers(delta.bad) == layers(layer | checked.good & OUTER_L4)


def test_flipped_payload_breaks_inner_and_outer(wrap):
    frame = bytes(wrap(IN6 / TCP() / Raw(b"payload"), family=6))
    assert layers(check(flip(frame, len(frame) - 1)).bad) == {"inner L4", "outer L4"}


def test_inner_fault_alone(wrap):
    """A NIC that computes the outer checksum over a wrong inner one makes such a frame."""
    frame = bytes(wrap(IN4 / TCP(chksum=0x1234) / Raw(b"abc")))
    assert layers(check(frame).bad) == {"inner L4"}
    (said,) = explain(frame)
    right = IP(bytes(IN4 / TCP() / Raw(b"abc")))[TCP].chksum
    assert said == f"inner TCP checksum is 0x1234, should be 0x{right:04x}"


def test_words_for_every_checksum(wrap):
    inner = IP(src="10.0.0.1", dst="10.0.0.2", chksum=1) / UDP(chksum=2) / Raw(b"abc")
    packet = wrap(inner, chksum=3)
    packet[IP].chksum = 4
    right = Ether(bytes(wrap(IP(src="10.0.0.1", dst="10.0.0.2") / UDP() / Raw(b"abc"))))
    said = explain(bytes(packet))
    assert said[0] == f"outer IPv4 header checksum is 0x0004, should be 0x{right[IP].chksum:04x}"
    assert said[1].startswith("outer UDP checksum is 0x0003, should be 0x")
    inside = right[vxlan.VXLAN]
    assert said[2:] == [
        f"inner IPv4 header checksum is 0x0001, should be 0x{inside[IP].chksum:04x}",
        f"inner UDP checksum is 0x0002, should be 0x{inside[UDP].chksum:04x}",
    ]


# -- 0x0000 and 0xffff --------------------------------------------------------------------------


def sums_to_nothing(wrap, inner, l4) -> bytes:
    """Returns a frame whose inner checksum is computed as 0."""
    first = bytes(inner / l4 / Raw(b"\0\0"))
    value = type(inner)(first)[type(l4)].chksum
    return bytes(wrap(inner / l4 / Raw(value.to_bytes(2, "big")), chksum=0))


@pytest.mark.parametrize("inner", [IN4, IN6], ids=["4", "6"])
def test_udp_zero_is_sent_as_ffff(wrap, inner):
    frame = sums_to_nothing(wrap, inner, UDP(sport=9, dport=10))
    at = l4_field(check(frame).layout.inner)
    assert frame[at : at + 2] == b"\xff\xff"
    assert check(frame).good & INNER_L4
    zero = check(put(frame, at, 0))
    if inner is IN4:
        assert zero.absent == OUTER_L4 | INNER_L4
    else:
        assert (zero.bad, zero.absent) == (INNER_L4, OUTER_L4)
        assert explain(put(frame, at, 0)) == ["inner UDP checksum is 0x0000, should be 0xffff"]


@pytest.mark.parametrize("inner", [IN4, IN6], ids=["4", "6"])
@pytest.mark.parametrize("field", [0, 0xFFFF])
def test_tcp_takes_either_zero(wrap, inner, field):
    frame = sums_to_nothing(wrap, inner, TCP(sport=9, dport=10))
    frame = put(frame, l4_field(check(frame).layout.inner), field)
    assert check(frame).good & INNER_L4


def test_udp_over_ipv6_without_checksum_is_wrong_unless_it_is_a_tunnel(wrap):
    plain = bytes(LINK / IN6 / UDP(dport=53, chksum=0) / Raw(b"abc"))
    assert layers(check(plain).bad) == {"outer L4"}
    assert check(plain, ports=frozenset({53})).absent == OUTER_L4
    inside = check(bytes(wrap(IN6 / UDP(dport=53, chksum=0) / Raw(b"abc"))))
    assert layers(inside.bad) == {"inner L4"}


def test_icmp_of_nothing_but_zeros_has_ffff(wrap):
    frame = bytes(wrap(IN4 / ICMP(type=0, chksum=0, id=0, seq=0) / Raw(bytes(8))))
    assert layers(check(frame).bad) == {"inner L4"}
    assert explain(frame) == ["inner ICMP checksum is 0x0000, should be 0xffff"]
    assert check(put(frame, check(frame).layout.inner.l4 + 2, 0xFFFF)).good & INNER_L4


# -- Lengths ------------------------------------------------------------------------------------


def test_udp_may_be_shorter_than_its_packet():
    datagram = bytes(IN4 / UDP(sport=1, dport=2) / Raw(b"abc"))[20:]
    frame = bytes(LINK / IP(src="10.244.1.7", dst="10.244.2.9", proto=17) / datagram / b"more")
    assert check(frame)[:5] == (OUTER_IP | OUTER_L4, 0, 0, 0, None)


@pytest.mark.parametrize("length", [1, 7, 12, 65535])
def test_udp_length_that_does_not_fit(length):
    frame = bytes(LINK / IN6 / UDP(len=length) / Raw(b"abc"))
    assert check(frame)[:5] == (0, OUTER_L4, 0, 0, "length")
    assert explain(frame) == [
        f"outer UDP length is {length}, but the IP packet has 11 bytes for it"
    ]


def test_udp_length_zero_goes_to_the_end_over_ipv6_only():
    data = b"abc"
    value = IPv6(bytes(IN6 / UDP() / Raw(data)))[UDP].chksum
    # The field itself is summed, the pseudo-header has the real length: add the missing 11.
    value = (value + 11) % 65535 or 65535
    frame = bytes(LINK / IN6 / UDP(len=0, chksum=value) / Raw(data))
    assert check(frame).good == OUTER_L4
    assert check(bytes(LINK / IN4 / UDP(len=0) / Raw(data))).bad == OUTER_L4


def test_ip_length_beyond_the_frame(wrap):
    frame = bytes(wrap(IN4 / TCP() / Raw(b"x" * 100)))
    cut = check(frame[:-1])
    assert (layers(cut.bad), cut.reason) == ({"outer IP", "inner IP"}, "length")
    assert cut.unjudged == OUTER_L4 | INNER_L4
    long = bytes(wrap(IP(src="10.0.0.1", dst="10.0.0.2", len=1400) / TCP() / Raw(b"x" * 100)))
    assert layers(check(long).bad) == {"inner IP"}
    assert check(long).reason == "length"
    assert check(long).unjudged == INNER_L4
    assert explain(long)[0].startswith("inner IPv4 total length 1400 does not fit")


def test_super_packet_length_in_a_segment_still_tells_the_vni(wrap):
    packet = wrap(IN4 / TCP() / Raw(b"x" * 100))
    packet[UDP].len = 9000
    checked = check(bytes(packet))
    assert layers(checked.bad) == {"outer L4"}
    assert checked.layout.vni == 7001
    assert checked.good & INNER_L4


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"ihl": 4}, "length"), ({"version": 5}, "version"), ({"len": 19}, "length")],
    ids=["ihl", "version", "total"],
)
def test_header_nobody_can_go_by(wrap, change, reason):
    frame = bytes(wrap(IP(src="10.0.0.1", dst="10.0.0.2", **change) / TCP()))
    checked = check(frame)
    assert (layers(checked.bad), checked.unjudged, checked.reason) == (
        {"inner IP"}, INNER_L4, reason,
    )  # fmt: skip


@pytest.mark.parametrize("l4", [TCP(), ICMP()], ids=["tcp", "icmp"])
def test_l4_header_that_does_not_fit(l4):
    header = bytes(IN4 / l4)[20:][:7]
    protocol = {TCP: 6, ICMP: 1}[type(l4)]
    frame = bytes(LINK / IP(src="1.1.1.1", dst="2.2.2.2", proto=protocol) / header)
    assert (check(frame).bad, check(frame).reason) == (OUTER_L4, "length")


# -- What cannot be judged ----------------------------------------------------------------------


def test_short_capture_is_not_judged(good_frame):
    whole = check(good_frame)
    for size in range(len(good_frame)) if len(good_frame) < 250 else (14, 34, 60, 90, 128):
        cut = check(good_frame[:size], len(good_frame))
        assert cut.bad == 0
        assert cut.good & ~whole.good == 0
        assert cut.good | cut.unjudged or cut.reason in ("truncated", "not-ip")
        if whole.layout.trouble is None:
            missing = (whole.good & (OUTER_L4 | INNER_L4)) & ~cut.good
            assert not missing or cut.reason in ("truncated", "not-ip")


def test_fragments(wrap):
    first = bytes(wrap(IP(src="10.0.0.1", dst="10.0.0.2", flags="MF") / UDP() / Raw(b"x" * 8)))
    later = bytes(wrap(IP(src="10.0.0.1", dst="10.0.0.2", frag=3, proto=17) / Raw(b"x" * 8)))
    for frame in (first, later):
        checked = check(frame)
        assert (checked.bad, checked.unjudged, checked.reason) == (0, INNER_L4, "fragment")
        assert checked.good & INNER_IP
    outer = IP(src="1.1.1.1", dst="2.2.2.2", flags="MF") / UDP(dport=4789) / vxlan.VXLAN() / LINK
    assert check(bytes(LINK / outer))[:5] == (OUTER_IP, 0, 0, OUTER_L4, "fragment")


@pytest.mark.parametrize(
    ("inner", "reason"),
    [
        (IN6 / IPv6ExtHdrFragment(m=1) / UDP() / Raw(b"x" * 8), "fragment"),
        (IN6 / IPv6ExtHdrFragment(offset=1, nh=17) / Raw(b"x" * 8), "fragment"),
        (IN6 / IPv6ExtHdrRouting(segleft=1, addresses=["fd00::8"]) / UDP(), "routing-header"),
        (IN6 / IPv6ExtHdrDestOpt(options=[HAO(hoa="fd00::1")]) / TCP(), "home-address"),
        (IPv6(plen=0) / IPv6ExtHdrHopByHop(options=[Jumbo(jumboplen=70000)]) / TCP(), "jumbogram"),
        (IN6 / ESP(spi=1, seq=1, data=b"secret"), "esp"),
        (IN4 / ESP(spi=1, seq=1, data=b"secret"), "esp"),
        (IN4 / SCTP(), "protocol"),
        (IP(proto=2) / Raw(bytes(8)), "protocol"),
        (IPv6(nh=59), "protocol"),
        (IP(proto=58) / Raw(bytes(8)), "protocol"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_judged_has_a_reason(wrap, inner, reason):
    frame = bytes(wrap(inner))
    checked = check(frame)
    assert (checked.bad, checked.unjudged, checked.reason) == (0, INNER_L4, reason)
    assert "could not be judged" in explain(frame)[0]
    assert checked.good & OUTER_L4


@pytest.mark.parametrize(
    "frame",
    [bytes(LINK / ARP()), b"", b"\1" * 13, bytes(12) + b"\x88\xcc" + bytes(40)],
    ids=["arp", "nothing", "runt", "lldp"],
)
def test_not_ip(frame):
    assert check(frame) == (0, 0, 0, 0, "not-ip", None)
    assert explain(frame) == []


def test_vxlan_header(wrap):
    packet = wrap(IN4 / TCP())
    packet[vxlan.VXLAN].flags = 0
    assert check(bytes(packet))[:5] == (3, VXLAN, 0, 0, "vxlan-flag")
    assert explain(bytes(packet)) == ["VXLAN header has no I flag: its first byte is 0x00"]
    for size in range(8):
        short = bytes(LINK / IN4 / UDP(dport=4789) / Raw(b"\x08" * size))
        assert check(short)[:5] == (3, VXLAN, 0, 0, "length")
    bare = bytes(LINK / IN4 / UDP(dport=4789) / vxlan.VXLAN(vni=5) / Raw(bytes(13)))
    assert check(bare).bad == VXLAN
    assert check(bare).layout.vni == 5


def test_the_tunnel_port_is_an_argument(wrap):
    frame = bytes(wrap(IN4 / TCP(chksum=1)))
    assert layers(check(frame).bad) == {"inner L4"}
    assert check(frame, ports=frozenset({8472})).good == OUTER_IP | OUTER_L4


# -- Whatever the bytes -------------------------------------------------------------------------


@given(st.binary(max_size=120), st.none() | st.integers(0, 200000))
def test_arbitrary_bytes_never_raise(frame, wire_length):
    assert_sane(frame, wire_length)
    for kind in (b"\x08\x00\x45", b"\x86\xdd\x60", b"\x81\x00\x00\x01\x08\x00\x4f"):
        assert_sane(bytes(12) + kind + frame, wire_length)


@settings(max_examples=400)
@given(data=st.data())
def test_mutated_frames_never_raise(shapes, data):
    frame = bytearray(shapes[data.draw(st.sampled_from(sorted(shapes)))])
    for _ in range(data.draw(st.integers(0, 6))):
        frame[data.draw(st.integers(0, min(len(frame) - 1, 130)))] = data.draw(st.integers(0, 255))
    assert_outer_sum_is_plain(bytes(frame))
    size = data.draw(st.integers(0, len(frame)))
    assert_sane(bytes(frame[:size]), data.draw(st.sampled_from([None, len(frame), 100000])))


# -- An independent computation -----------------------------------------------------------------


def ip_packet(family: int, protocol: int, l4: bytes) -> bytes:
    if family == 6:
        return struct.pack(">IHBB", 6 << 28, len(l4), protocol, 64) + bytes(range(32)) + l4
    header = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(l4), 1, 0, 64, protocol, 0) + bytes(
        range(8)
    )
    return header[:10] + struct.pack(">H", 0xFFFF - folded(header)) + header[12:] + l4


def pseudo(family: int, protocol: int, length: int) -> bytes:
    return bytes(range(8 if family == 4 else 32)) + struct.pack(">II", length, protocol)


def transport(family: int, protocol: int, ports: int, payload: bytes, field: int | None) -> bytes:
    """Returns a UDP datagram or TCP segment; with None, its checksum is right."""
    if protocol == 17:
        head, tail = struct.pack(">IH", ports, 8 + len(payload)), payload
    else:
        head, tail = struct.pack(">IIIHH", ports, 1, 2, 0x5010, 512), bytes(2) + payload
    if field is None:
        length = len(head) + 2 + len(tail)
        field = 0xFFFF - folded(pseudo(family, protocol, length) + head + bytes(2) + tail)
        if protocol == 17:
            field = field or 0xFFFF
    return head + struct.pack(">H", field) + tail


def expected(family: int, protocol: int, segment: bytes, tunnel: bool) -> str:
    field = segment[6:8] if protocol == 17 else segment[16:18]
    if protocol == 17 and field == b"\0\0" and (tunnel or family == 4):
        return "absent"
    total = folded(pseudo(family, protocol, len(segment)) + segment)
    wrong_zero = protocol == 17 and field == b"\0\0"
    return "good" if total == 0xFFFF and not wrong_zero else "bad"


fields = st.none() | st.sampled_from([0, 0xFFFF]) | st.integers(0, 0xFFFF)


@settings(max_examples=500)
@given(
    families=st.tuples(st.sampled_from([4, 6]), st.sampled_from([4, 6])),
    protocol=st.sampled_from([6, 17]),
    payload=st.binary(max_size=80),
    trailer=st.binary(max_size=9),
    inner_field=fields,
    outer_field=fields,
)
def test_agrees_with_a_slow_computation(
    *, families, protocol, payload, trailer, inner_field, outer_field
):
    outer_family, inner_family = families
    inner = transport(inner_family, protocol, 0x1234_0035, payload, inner_field)
    kind = {4: b"\x08\x00", 6: b"\x86\xdd"}
    inside = bytes(12) + kind[inner_family] + ip_packet(inner_family, protocol, inner) + trailer
    datagram = transport(
        outer_family, 17, 0xC350_12B5, b"\x08" + bytes(5) + b"\7\0" + inside, outer_field
    )
    frame = bytes(12) + kind[outer_family] + ip_packet(outer_family, 17, datagram)
    checked = check(frame)
    assert checked.state(OUTER_L4) == expected(outer_family, 17, datagram, True)
    assert checked.state(INNER_L4) == expected(inner_family, protocol, inner, False)
    assert checked.state(OUTER_IP) == ("good" if outer_family == 4 else None)
    assert checked.state(INNER_IP) == ("good" if inner_family == 4 else None)
    assert checked.layout.vni == 7
