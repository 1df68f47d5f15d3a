"""Masked frames: right sums stay right, wrong ones wrong by the same, whatever the headers."""

from __future__ import annotations

import base64
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN

from qualification.messages.bursts import BadFrame
from qualification.messages.submitted import SubmittedPacket
from qualification.results.bundle.frames import masked, masked_frame, masked_submitted
from qualification.results.bundle.masking import Mask
from qualification.wire.checksum import pseudo_sum
from qualification.wire.dissect import VXLAN_PORTS
from qualification.wire.sentences import l4_checksum
from qualification.wire.verify import check, explain
from tests.results.page.conftest import tunnel_frame

IPS = {4: IP(src="198.18.7.1", dst="198.18.7.2"), 6: IPv6(src="fd00:18::1", dst="fd00:18::2")}
SECRET_BYTES = [bytes([198, 18, 7, 1]), bytes([10, 9, 8, 1]), b"\xfd\0\0\x18" + bytes(11) + b"\1"]
MAC, INNER_MAC = "02:aa:bb:cc:dd:01", "02:aa:bb:cc:ee:01"
INNERS = {4: IP(src="10.9.8.1", dst="10.9.8.2"), 6: IPv6(src="fd00:18::1", dst="fd00:9::2")}
L4S = {"tcp": TCP(sport=40000, dport=5001, flags="A"), "udp": UDP(sport=40000, dport=5001)}


def made(outer: int, inner: int, l4: str, payload: bytes) -> bytes:
    head = Ether(src=MAC, dst="02:aa:bb:cc:dd:02") / IPS[outer].copy()
    head /= UDP(sport=50000, dport=4789) / VXLAN(vni=7)
    body = Ether(src=INNER_MAC, dst="02:aa:bb:cc:ee:02") / INNERS[inner].copy() / L4S[l4].copy()
    return bytes(head / body / payload)


@given(
    st.sampled_from(list(product((4, 6), (4, 6), ("tcp", "udp")))),
    st.binary(max_size=80),
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFFFF),
)
def test_sums_stay_right_or_wrong_by_the_same(
    kind: tuple[int, int, str], payload: bytes, outer_noise: int, inner_noise: int
) -> None:
    frame = bytearray(made(*kind, payload))
    layout = check(bytes(frame)).layout
    assert layout is not None
    assert layout.inner is not None
    at = layout.inner.l4 + (16 if kind[2] == "tcp" else 6)
    for place, noise in ((at, inner_noise), (layout.outer.l4 + 6, outer_noise)):
        frame[place] ^= noise >> 8
        frame[place + 1] ^= noise & 255
    data = bytes(frame)
    mask = Mask({})
    shown = masked(data, VXLAN_PORTS, mask)
    before, after = check(data), check(shown)
    assert (after.good, after.bad, after.absent) == (before.good, before.bad, before.absent)
    assert before.layout is not None
    assert after.layout is not None
    for old, new in (
        (before.layout.outer, after.layout.outer),
        (before.layout.inner, after.layout.inner),
    ):
        assert old is not None
        assert new is not None
        header = 20 if old.protocol == 6 else 8
        like_a_seed = (old.checksum or 0) - _seed(old)
        if not old.checksum or like_a_seed % 65535 % max(1, old.l4_length - header) == 0:
            continue
        (found, right), (now, right_now) = l4_checksum(data, old), l4_checksum(shown, new)
        assert (found - right - (now - right_now)) % 65535 == 0
    secret = [mac.replace(":", "") for mac in (MAC, INNER_MAC)]
    for one in (*SECRET_BYTES, *map(bytes.fromhex, secret)):
        assert one not in shown[: after.layout.inner.l4]


def _seed(packet: object) -> int:
    total = pseudo_sum(packet.source, packet.destination, packet.protocol, packet.l4_length)  # type: ignore[attr-defined]
    return (total - 1) % 65535 + 1


def test_a_field_left_as_the_kernel_seeded_it_is_so_still() -> None:
    frame = bytearray(made(4, 4, "tcp", b"x" * 50))
    inner = check(bytes(frame)).layout.inner  # type: ignore[union-attr]
    assert inner is not None
    frame[inner.l4 + 16 : inner.l4 + 18] = _seed(inner).to_bytes(2, "big")
    shown = masked(bytes(frame), VXLAN_PORTS, Mask({}))
    now = check(shown).layout.inner  # type: ignore[union-attr]
    assert now is not None
    assert now.addresses != inner.addresses
    assert now.checksum == _seed(now)


def test_findings_are_those_of_the_masked_frame() -> None:
    frame = tunnel_frame()
    others = (
        "TCP flags are 0x18, should be 0x10",
        "UDP checksum is 0x0001, should be 0x0002",
        "source address is 10.0.0.1, should be 10.0.0.9",
    )
    kept = BadFrame(base64.b64encode(frame).decode(), ("outer L4",), (*explain(frame), *others))
    shown = masked_frame(kept, 4789, Mask({}))
    assert shown.findings[0] == explain(base64.b64decode(shown.data))[0] != kept.findings[0]
    assert shown.findings[1:3] == (others[0], "UDP checksum is not the expected one")
    assert "10.0.0" not in shown.findings[3]
    assert masked_frame(kept, 4789, Mask({}, on=False)) == kept


@pytest.mark.parametrize("cut", [0, 5, 13, 30, 45, 60, 80])
def test_frames_that_are_cut_off_or_no_ip(cut: int) -> None:
    arp = bytes(Ether(src=MAC) / ARP(psrc="10.9.8.1"))
    known = Mask({}, frozenset([bytes.fromhex(MAC.replace(":", "")), bytes([10, 9, 8, 1])]))
    for frame in (made(4, 4, "tcp", b"")[:cut], arp[:cut]):
        shown = masked(frame, VXLAN_PORTS, known)
        assert len(shown) == len(frame)
        assert not any(secret in shown for secret in known.known)


@given(st.binary(max_size=120))
def test_never_raises(data: bytes) -> None:
    assert len(masked(data, VXLAN_PORTS, Mask({}))) == len(data)


@pytest.mark.parametrize("segments", [1, 3])
def test_an_inner_sum_that_was_not_made_shows_as_such(segments: int) -> None:
    """The outer one is made as if the inner one were right, and is wrong for that alone."""
    frame = bytearray(made(4, 4, "tcp", b"x" * 500))
    layout = check(bytes(frame)).layout
    assert layout is not None
    assert layout.inner is not None
    inner = layout.inner
    held = (_seed(inner) + 500 * (segments - 1) - 1) % 65535 + 1
    frame[inner.l4 + 16 : inner.l4 + 18] = held.to_bytes(2, "big")
    shown = masked(bytes(frame), VXLAN_PORTS, Mask({}))
    now = check(shown).layout
    assert now is not None
    assert now.inner is not None
    assert (_seed(now.inner) + 500 * (segments - 1) - 1) % 65535 + 1 == now.inner.checksum
    right = l4_checksum(shown, now.inner)[1].to_bytes(2, "big")
    repaired = shown[: inner.l4 + 16] + right + shown[inner.l4 + 18 :]
    assert check(repaired).bad == 0


@pytest.mark.parametrize(("outer", "inner"), list(product((4, 6), (4, 6))))
@pytest.mark.parametrize("l4", ["tcp", "udp"])
@pytest.mark.parametrize("cut", [150, 256, 2000])
@pytest.mark.parametrize("partial", [False, True])
def test_what_was_submitted_is_masked_as_the_frame_that_it_made(
    outer: int, inner: int, l4: str, cut: int, partial: bool
) -> None:
    """The outer sum counts on an inner one that the NIC makes right (`lco_csum`)."""
    mask = Mask({})
    frame = made(outer, inner, l4, b"xy" * 500)
    arrived = masked(frame, VXLAN_PORTS, mask)
    layouts = check(frame).layout, check(arrived).layout
    submitted, expected = bytearray(frame), bytearray(arrived)
    for layout, data in zip(layouts, (submitted, expected), strict=True):
        assert layout is not None
        assert layout.inner is not None
        at = layout.inner.l4 + (16 if l4 == "tcp" else 6)
        if partial:
            data[at : at + 2] = _seed(layout.inner).to_bytes(2, "big")
    packet = SubmittedPacket(base64.b64encode(submitted[:cut]).decode(), len(frame), partial)
    assert masked_submitted(packet, 4789, mask) == expected[:cut]
    assert masked_submitted(packet, 4789, Mask({}, on=False)) == submitted[:cut]


@given(st.binary(max_size=120), st.integers(0, 200_000), st.booleans())
def test_whatever_was_submitted(data: bytes, length: int, partial: bool) -> None:
    packet = SubmittedPacket(base64.b64encode(data).decode(), length, partial)
    assert len(masked_submitted(packet, 4789, Mask({}))) == len(data)
