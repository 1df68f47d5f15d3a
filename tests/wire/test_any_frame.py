"""The verifier on frames of any shape: no false positives, and no wrong field missed."""

from __future__ import annotations

import struct

from hypothesis import event, given, settings
from hypothesis import strategies as st

from qualification.wire.verify import Checked, check, explain

from .any_frame import (
    ICMP,
    OUTER_IP,
    OUTER_L4,
    TCP,
    UDP,
    VXLAN,
    Frame,
    Part,
    folded,
    frames,
    with_header_sum,
    with_word,
)

OUTER = OUTER_IP | OUTER_L4


def states(checked: Checked) -> dict[int, str]:
    bits = (1, 2, 4, 8, 16)
    return {bit: state for bit in bits if (state := checked.state(bit)) is not None}


@settings(max_examples=200)
@given(frames())
def test_nothing_is_invented_on_right_frames(frame: Frame) -> None:
    checked = check(frame.data)
    assert states(checked) == frame.judge(frame.data)
    assert (checked.bad, checked.unjudged, checked.reason) == (0, 0, None)
    assert explain(frame.data) == []
    layout = checked.layout
    assert layout is not None
    assert (layout.outer.start, layout.outer.l4, layout.outer.end) == (
        frame.outer.start, frame.outer.l4, frame.outer.end,
    )  # fmt: skip
    if frame.inner is not None:
        assert layout.inner is not None
        assert (layout.inner.start, layout.inner.l4, layout.inner.end) == (
            frame.inner.start, frame.inner.l4, frame.inner.end,
        )  # fmt: skip


@settings(max_examples=40)
@given(frames(), st.integers(0, 7))
def test_no_bit_can_flip_unseen(frame: Frame, bit: int) -> None:
    """Returns every bit of the headers, and one bit of every other byte."""
    headers = (frame.inner or frame.outer).l4 + 20
    for at in range(len(frame.data)):
        for flip in range(8) if at < headers else (bit + at & 7,):
            spoiled = bytearray(frame.data)
            spoiled[at] ^= 1 << flip
            assert_seen(frame, bytes(spoiled), at)


def assert_seen(frame: Frame, data: bytes, at: int) -> None:
    checked = check(data)
    assert bool(explain(data)) == bool(checked.bad | checked.unjudged)
    outer, inner = frame.outer, frame.inner
    expected = frame.judge(data)
    wrong = sum(bit for bit, state in expected.items() if state == "bad")
    summed = covering(frame, at)
    if at in frame.outer_types:
        return  # with another EtherType the frame is not IP
    if at == frame.vxlan and not data[at] & 8:
        assert checked.bad & ~OUTER_IP == VXLAN | wrong & OUTER_L4
        return
    if at in outer.steering:
        if outer.start + 1 < at < outer.start + 20 and outer.family == 4:
            assert checked.bad & OUTER_IP
        elif summed:
            assert checked.bad or checked.unjudged or consistent(outer, data)
        return
    if inner is not None and (at in inner.steering or at in frame.inner_types):
        assert checked.bad & OUTER == wrong & OUTER
        if inner.start + 1 < at < inner.start + 20 and inner.family == 4:
            assert checked.bad & OUTER_IP << 3
        elif inner.start < at and inner.protocol == UDP and at in (inner.l4 + 4, inner.l4 + 5):
            absent = data[inner.field : inner.field + 2] == b"\0\0"
            assert checked.bad & OUTER_L4 << 3 or absent or consistent(inner, data)
        return
    assert states(checked) == expected
    # Every sum that covers the byte must be wrong, unless the flip made a UDP field 0.
    for layer in summed:
        assert expected[layer] in ("bad", "absent")
    assert bool(wrong) == any(expected[layer] == "bad" for layer in summed)


def covering(frame: Frame, at: int) -> list[int]:
    """Returns the layers whose checksum covers a byte, by the layout."""
    found = []
    for part in frame.parts:
        if part.family == 4 and part.start <= at < part.l4:
            found.append(OUTER_IP << part.shift)
        first, width = (12, 8) if part.family == 4 else (8, 32)
        address = part.start + first <= at < part.start + first + width
        summed = frame.data[part.field : part.field + 2] != b"\0\0" or part.protocol != UDP
        field = at in (part.field, part.field + 1)
        if (part.l4 <= at < part.end or (address and part.protocol != ICMP)) and (summed or field):
            found.append(OUTER_L4 << part.shift)
    return found


def consistent(part: Part, data: bytes) -> bool:
    """Returns whether a spoiled UDP length happens to fit, so that the datagram is right."""
    (length,) = struct.unpack_from(">H", data, part.l4 + 4)
    if part.protocol != UDP or not 8 <= length <= part.end - part.l4:
        return False
    empty = data[part.field : part.field + 2] == b"\0\0"
    return empty or folded(part.covered(data, length)) == 0xFFFF


@settings(max_examples=200)
@given(frames(), st.data())
def test_a_wrong_checksum_is_found_in_its_layer_alone(frame: Frame, data: st.DataObject) -> None:
    """Any wrong inner checksum, also with a right outer one over it, as a NIC computes it."""
    part = data.draw(st.sampled_from(frame.parts))
    if part.family == 4 and data.draw(st.booleans()):
        layer, at = OUTER_IP << part.shift, part.start + 10
    else:
        layer, at = OUTER_L4 << part.shift, part.field
    (right,) = struct.unpack_from(">H", frame.data, at)
    value = data.draw(
        (st.integers(0, 0xFFFF) | st.just(right ^ 0xFFFF)).filter(lambda number: number != right)
    )
    spoiled = with_word(frame.data, at, value)
    plain, resealed = check(spoiled), check(frame.resealed(spoiled))
    state = frame.judge(spoiled)[layer]
    event(state)
    assert states(plain) == frame.judge(spoiled)
    # If it is not bad, it is 0 for no checksum, or the other zero, or was 0 before.
    proper = part.right_field(frame.data) if at == part.field else right
    udp = at == part.field and part.protocol == UDP
    assert (state == "absent") <= (udp and value == 0)
    assert (state == "good") <= (value % 0xFFFF == proper % 0xFFFF)
    # A NIC that computes the outer checksum over a wrong inner packet makes such a frame.
    if part.shift:
        assert resealed.bad == (layer if state == "bad" else 0)
    elif state == "bad":
        assert plain.bad == layer
    assert bool(explain(spoiled)) == bool(plain.bad)


@settings(max_examples=200)
@given(frames(), st.data())
def test_a_wrong_length_is_found_in_its_packet_alone(frame: Frame, data: st.DataObject) -> None:
    """The super-packet's length is left in a segment, with all other checksums right over it."""
    part = data.draw(st.sampled_from(frame.parts))
    fields = [part.length] + ([part.l4 + 4] if part.protocol == UDP else [])
    at = data.draw(st.sampled_from(fields))
    (right,) = struct.unpack_from(">H", frame.data, at)
    near = st.integers(max(1, right - 60), min(0xFFFF, right + 60))
    value = data.draw((near | st.integers(1, 0xFFFF)).filter(lambda number: number != right))
    spoiled = with_header_sum(with_word(frame.data, at, value), part)
    if part.shift:
        spoiled = frame.resealed(spoiled)
    checked = check(spoiled)
    of_packet = OUTER << part.shift
    if part.shift:
        assert checked.bad & ~of_packet == 0
    if at == part.length:
        size = value - (part.l4 - part.start) + (40 if part.family == 6 else 0)
        limit = (frame.outer.end if part.shift else len(spoiled)) - part.l4
        if size > limit:
            assert checked.bad & OUTER_IP << part.shift
            return
    else:
        size = value
    event("longer" if value > right else "shorter")
    if checked.bad & of_packet:
        return
    # If it is not found wrong, it is a right packet of that length, or has no checksum.
    shorter = min(size, len(spoiled) - part.l4)
    assert shorter >= {TCP: 20}.get(part.protocol, 8)
    if part.protocol == UDP:
        (shorter,) = struct.unpack_from(">H", spoiled, part.l4 + 4)
        assert shorter <= size
        if spoiled[part.field : part.field + 2] == b"\0\0":
            return
    assert folded(part.covered(spoiled, shorter)) == 0xFFFF
