"""Properties that every verification has, whatever the bytes."""

from __future__ import annotations

import struct

from qualification.wire.verify import LAYERS, OUTER_L4, check, explain

from .any_frame import folded

MASKS_MEAN_LAYERS = sum(LAYERS)


def assert_sane(frame: bytes, wire_length: int | None) -> None:
    checked = check(frame, wire_length)
    masks = checked[:4]
    assert sum(masks) & ~MASKS_MEAN_LAYERS == 0
    assert sum(bin(mask).count("1") for mask in masks) == bin(
        masks[0] | masks[1] | masks[2] | masks[3]
    ).count("1")
    texts = explain(frame, wire_length)
    assert bool(texts) == bool(checked.bad | checked.unjudged)
    if checked.unjudged or not sum(masks):
        assert checked.reason
    if checked.layout is None:
        return
    outer, inner = checked.layout.outer, checked.layout.inner
    limit = max(len(frame), wire_length or 0)
    assert outer.start <= outer.l4 <= outer.end <= limit
    if inner:
        assert outer.l4 < inner.start <= inner.l4 <= inner.end <= outer.end


def assert_outer_sum_is_plain(frame: bytes) -> None:
    """Asserts that the outer sum, which reuses the inner one, is the sum over all its bytes."""
    checked = check(frame)
    if checked.layout is None or checked.state(OUTER_L4) not in ("good", "bad"):
        return
    outer = checked.layout.outer
    if outer.trouble is None and outer.checksum and outer.protocol in (6, 17):
        header = outer.addresses + struct.pack(">II", outer.l4_length, outer.protocol)
        right = folded(header + frame[outer.l4 : outer.end]) == 0xFFFF
        assert checked.state(OUTER_L4) == ("good" if right else "bad")
