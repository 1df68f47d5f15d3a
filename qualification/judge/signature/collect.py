"""Collects the bad fields of all bad frames, each with what the frames around it show."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from qualification.messages.bursts import BadFrame
from qualification.plan.flows import Flow

from .bad_field import BadField, FieldKind
from .frame_fields import Frame, bad_fields, read

_MOST_SEGMENTS = 64  # of a super-packet: UDP_MAX_SEGMENTS; of TCP, 64 KiB hold 46 of a usual MSS
_LARGEST = 65535  # bytes of a super-packet, by the length field of its pseudo-header
_NEIGHBOURS = 16


def collect(frames: Sequence[BadFrame], flow: Flow) -> dict[tuple[str, FieldKind], list[BadField]]:
    """Takes bad frames apart.

    Args:
        frames: The bad frames, in the order in which they arrived.
        flow: The flow that they belong to.

    Returns:
        Bad fields by layer and kind. A frame that cannot be read has none.
    """
    frames_read = [frame for at, bad in enumerate(frames) if (frame := read(at, bad, flow))]
    full = max((frame.carried for frame in frames_read), default=0)
    found: dict[tuple[str, FieldKind], list[BadField]] = {}
    for place, frame in enumerate(frames_read):
        extras, rests = (
            _lengths_missing(frames_read, place, full) if flow.segmentation else ((), ())
        )
        for layer, bad_field in bad_fields(frame):
            field = _with_segments(bad_field, full, frozenset(extras), frozenset(rests))
            found.setdefault((layer, bad_field.kind), []).append(field)
    return {key: list(_with_neighbours(fields)) for key, fields in found.items()}


def _with_segments(
    bad_field: BadField, full: int, extras: frozenset[int], rests: frozenset[int]
) -> BadField:
    """Returns a bad field with what is known of its super-packet, also as it was meant to be."""
    meant = bad_field.meant and _with_segments(bad_field.meant, full, extras, rests)
    return replace(bad_field, full=full, extras=extras, rests=rests, meant=meant)


def _lengths_missing(
    frames: Sequence[Frame], place: int, full: int
) -> tuple[Iterable[int], Iterable[int]]:
    """Returns how much longer a frame's super-packet may have been: `BadField.extras`, `.rests`."""
    frame = frames[place]
    room = _LARGEST - frame.carried
    if not full:
        return (), ()
    whole = [n for k in range(1, _MOST_SEGMENTS) if (n := k * full) <= room]
    if frame.carried < full:
        return whole, ()
    me, later = frame.innermost, frames[place + 1 :]
    stream = (me.addresses, me.source_port, me.destination_port)
    for other in later:
        it = other.innermost
        mine = (it.addresses, it.source_port, it.destination_port) == stream
        if mine and other.carried < full:
            return whole, [n + other.carried for n in (0, *whole) if n + other.carried <= room]
    return whole, ()


def _with_neighbours(fields: Sequence[BadField]) -> Iterator[BadField]:
    """Yields each bad field with the values of those around it."""
    for place, bad_field in enumerate(fields):
        before = fields[max(0, place - _NEIGHBOURS) : place]
        after = fields[place + 1 : place + 1 + _NEIGHBOURS]
        yield replace(
            bad_field,
            before=tuple(s.right for s in reversed(before)),
            around=frozenset(s.found for s in (*before, *after)),
        )
