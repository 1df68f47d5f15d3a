import pytest
from scapy.layers import vxlan
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrRouting
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from qualification.wire.dissect import dissect

IN4 = IP(src="10.244.1.7", dst="10.244.2.9")
IN6 = IPv6(src="fd00::7", dst="fd00::9")


def test_everything_about_a_frame(shapes):
    layout = dissect(shapes["vlan-stacked"])
    assert layout.vlans == (100, 7)
    outer, inner = layout.outer, layout.inner
    assert (outer.family, outer.start, outer.l4, outer.protocol) == (4, 22, 42, 17)
    assert (outer.source, outer.destination) == (bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2]))
    assert (outer.source_port, outer.destination_port) == (50000, 4789)
    assert (layout.vxlan, layout.vni, layout.inner_vlans) == (50, 7001, ())
    assert (inner.family, inner.start, inner.l4, inner.protocol) == (4, 72, 92, 6)
    assert (inner.source_port, inner.destination_port) == (33000, 443)
    assert inner.l4_length == 20 + 99
    assert inner.end == outer.end == len(shapes["vlan-stacked"])
    assert layout.trouble is outer.trouble is inner.trouble is None


def test_fields_are_those_scapy_wrote(good_frame):
    layout, packet = dissect(good_frame), Ether(good_frame)
    first = packet[IP] if layout.outer.family == 4 else packet[IPv6]
    if UDP in first:
        assert layout.outer.checksum == first[UDP].chksum
    if (
        layout.inner
        and layout.inner.protocol in (6, 17)
        and layout.inner.l4 - layout.inner.start in (20, 40)
    ):
        inside = packet[vxlan.VXLAN].payload
        assert layout.vni == packet[vxlan.VXLAN].vni
        l4 = inside[UDP] if layout.inner.protocol == 17 else inside[TCP]
        assert (layout.inner.source_port, layout.inner.checksum) == (l4.sport, l4.chksum)


def test_vlan_tags_are_returned_with_their_priority(shapes):
    assert dissect(shapes["vlan-outer"]).vlans == (3 << 13 | 100,)
    assert dissect(shapes["vlan-inner"]).inner_vlans == (9,)


@pytest.mark.parametrize("snap", [102, 128, 160])
def test_headers_only_are_enough(shapes, snap):
    whole = dissect(shapes["4in4-tcp-1399"])
    assert dissect(shapes["4in4-tcp-1399"][:snap], len(shapes["4in4-tcp-1399"])) == whole


@pytest.mark.parametrize("inner", [IN4, IN6], ids=["4", "6"])
@pytest.mark.parametrize("family", [4, 6])
def test_super_frame_of_64_kib(wrap, inner, family):
    frame = bytes(wrap(inner / TCP(chksum=0) / Raw(bytes(65000)), family=family))
    layout = dissect(frame[:192], len(frame))
    assert layout.inner.l4_length == 20 + 65000
    assert layout.inner.trouble is None


@pytest.mark.parametrize("family", [4, 6])
def test_big_tcp_takes_its_length_from_the_wire(wrap, family):
    """Beyond 64 KiB the kernel writes 0 into the IP length; the UDP length is meaningless."""
    inner = IP(len=0) if family == 4 else IPv6(plen=0)
    packet = wrap(inner / TCP(chksum=0), family=family)
    packet[UDP].len = 1234
    setattr(packet[IP if family == 4 else IPv6], "len" if family == 4 else "plen", 0)
    frame, wire_length = bytes(packet), 180_000
    layout = dissect(frame, wire_length)
    assert layout.vni == 7001
    assert layout.outer.trouble == layout.inner.trouble == "jumbogram"
    assert layout.inner.end == wire_length
    assert layout.inner.l4_length == wire_length - layout.inner.l4
    assert layout.inner.source_port == 20


def test_trouble_outside_does_not_hide_the_inside(wrap):
    packet = wrap(IN4 / TCP(), family=6)
    route = IPv6ExtHdrRouting(segleft=1, addresses=["2001:db8::3"])
    route.payload = packet[IPv6].payload
    packet[IPv6].payload = route
    packet[IPv6].nh = 43
    route.nh = 17
    layout = dissect(bytes(packet))
    assert layout.outer.trouble == "routing-header"
    assert (layout.vni, layout.inner.protocol) == (7001, 6)


def test_other_ports(shapes):
    frame = shapes["4in4-tcp-100"]
    layout = dissect(frame, ports=frozenset({8472}))
    assert (layout.vxlan, layout.vni, layout.inner) == (None, None, None)
    assert dissect(frame, ports=frozenset({8472, 4789})).vni == 7001


def test_nested_tunnel_is_plain_udp(shapes):
    layout = dissect(shapes["nested"])
    assert (layout.inner.protocol, layout.inner.destination_port) == (17, 4789)
