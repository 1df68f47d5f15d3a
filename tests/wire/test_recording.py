"""Recordings of the wire, made by hand: which frames belong to a burst, and which are wrong."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP, fragment
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw
from scapy.utils import wrpcap

from qualification.messages.bursts import CaptureOrder
from qualification.wire.capture_file import read_frames
from qualification.wire.recording import WireTally, tally

DUT, PEER = "02:00:00:00:00:01", "02:00:00:00:00:02"
ORDER = CaptureOrder(
    interface="p0", source_mac=DUT, protocols=(17,), port=4789, vxlan_port=4789, vni=22097,
    flow_port=20_001, our_vnis=(22097,), late_ports=(20_000, 20_001), mtu=1500, outer_checksum=True,
)  # fmt: skip


def tunnelled(inner: Packet, vni: int = 22097, source: str = DUT) -> Packet:
    outer = IP(src="198.18.0.1", dst="198.18.0.2") / UDP(sport=50_000, dport=4789)
    return Ether(src=source, dst=PEER) / outer / VXLAN(vni=vni) / Ether() / inner


def inner(port: int = 20_001, **changes: int) -> Packet:
    ends = IP(src="10.18.1.1", dst="10.18.1.2", ttl=changes.pop("ttl", 64))
    return ends / UDP(sport=1000, dport=port, **changes) / Raw(b"payload")


def recorded(tmp_path: Path, *frames: Packet, order: CaptureOrder = ORDER) -> WireTally:
    wrpcap(str(tmp_path / "wire.pcap"), list(frames))
    return tally(read_frames(tmp_path / "wire.pcap"), order)


def test_wrong_frames_are_counted_by_layer(tmp_path: Path) -> None:
    wrong = tunnelled(inner(chksum=0x1234))
    tagged = Ether(bytes(tunnelled(inner())))
    tagged.payload, tagged.type = Dot1Q(vlan=5, type=0x800) / tagged.payload, 0x8100
    found = recorded(tmp_path, tunnelled(inner()), wrong, tagged, wrong)
    assert (found.frames, found.bad, found.bad_layers) == (4, 2, {"inner L4": 2})
    assert [base64.b64decode(each) for each in found.samples] == [bytes(wrong)] * 2


def test_a_checksum_that_the_flow_requires_and_that_is_0_is_wrong(tmp_path: Path) -> None:
    """As a NIC leaves it that does not send 0xffff for a sum of 0 (RFC 768)."""
    none = Ether(bytes(tunnelled(inner())))
    none[UDP].chksum = 0
    assert recorded(tmp_path, none, tunnelled(inner())).bad_layers == {"outer L4": 1}
    assert recorded(tmp_path, none, order=replace(ORDER, outer_checksum=False)).bad == 0
    assert recorded(tmp_path, tunnelled(inner(chksum=0))).bad_layers == {"inner L4": 1}
    other = tunnelled(inner(30_000, chksum=0))  # of another flow, which may have none
    assert recorded(tmp_path, other).frames == 0


@pytest.mark.parametrize(
    "frame",
    [
        tunnelled(inner(chksum=1), source=PEER),
        tunnelled(inner(), vni=22098),
        tunnelled(inner(20_000, chksum=1)),  # late, of the burst before
        tunnelled(inner(30_000)),
        tunnelled(ARP()),
        Ether(src=DUT) / ARP(),
        Ether(src=DUT) / IP() / UDP(dport=4790, chksum=1),
    ],
)
def test_frames_of_others_do_not_count(tmp_path: Path, frame: Packet) -> None:
    assert recorded(tmp_path, tunnelled(inner()), frame) == WireTally(frames=1)


def test_a_wrong_frame_may_not_show_its_flow(tmp_path: Path) -> None:
    found = recorded(tmp_path, tunnelled(inner(30_000, chksum=1)))
    assert (found.frames, found.bad) == (1, 1)


def test_fragments_are_counted_apart(tmp_path: Path) -> None:
    whole = tunnelled(inner() / Raw(b"x" * 3000))
    pieces = [Ether(src=DUT, dst=PEER) / part for part in fragment(whole[IP], 1400)]
    found = recorded(tmp_path, tunnelled(inner()), *pieces)
    assert (found.frames, found.fragments, found.bad) == (1, len(pieces), 0)


def test_plain_traffic_and_bursts_that_are_told_by_their_ttl(tmp_path: Path) -> None:
    plain = replace(ORDER, protocols=(6,), port=20_001, vxlan_port=0, vni=None)
    tcp = Ether(src=DUT) / IP() / TCP(dport=20_001) / Raw(b"x")
    assert recorded(tmp_path, tcp, order=plain) == WireTally(frames=1)
    marked = replace(plain, protocols=(17,), port=4789, vxlan_port=4789, flow_port=4789, ttl=33)
    frames = [
        Ether(src=DUT) / IP(ttl=ttl) / UDP(dport=4789, chksum=chksum) / Raw(b"x")
        for ttl, chksum in ((33, None), (34, 1))
    ]
    found = recorded(tmp_path, *frames, order=replace(marked, late_ttls=(33, 60)))
    assert (found.frames, found.bad) == (1, 1)  # neither is VXLAN
