"""Hypotheses on the checksum of an IPv4 header, and on lengths."""

from __future__ import annotations

from .base import Hypothesis, Shared

HEADERS: tuple[Hypothesis | Shared, ...] = (
    Hypothesis(
        "ip-header",
        "the header checksum was never filled in",
        lambda s: (0,) if s.right % 65535 else (),
        exact=True,
    ),
    Hypothesis("ip-header", "the header's sum was not complemented", lambda s: (-s.right,)),
    Hypothesis(
        "ip-header", "the header checksum is in the wrong byte order", lambda s: (s.right << 8,)
    ),
    Hypothesis(
        "ip-header",
        "the header checksum fits the total length of the super-packet",
        lambda s: [s.right - extra for extra in s.extras],
        alone=False,
    ),
    Hypothesis(
        "ip-header",
        "the header checksum fits the total length of the super-packet",
        lambda s: [s.right - extra for extra in s.extras | s.rests],
        alone=False,
    ),
    Hypothesis(
        "ip-header",
        "the header checksum fits the total length of a full segment",
        lambda s: (s.right - (s.full - s.data),) if s.full > s.data else (),
    ),
    Hypothesis(
        "ip-header",
        "the header checksum fits the identification of an earlier segment",
        lambda s: [s.right + step for step in range(1, 65)],
        alone=False,
    ),
    Shared("ip-header", "the header checksum is {value} in every frame", lambda s: (s.found,)),
    Hypothesis(
        "ip-header",
        "the header checksum of another segment is repeated",
        lambda s: s.around,
        alone=False,
    ),
)
"""On the checksum of the IPv4 header."""

LENGTHS: tuple[Hypothesis | Shared, ...] = (
    Hypothesis(
        "last-exact",
        "the length field is that of an empty segment",
        lambda s: (s.right - s.data,) if s.data else (),
    ),
    Hypothesis(
        "segment-length",
        "the length field of a shorter segment is that of a full one",
        lambda s: (s.right + s.full - s.data,) if s.full > s.data else (),
    ),
    Hypothesis(
        "super-length",
        "the length field is that of the super-packet",
        lambda s: [s.right + extra for extra in s.extras],
        alone=False,
    ),
    Hypothesis(
        "super-length",
        "the length field is that of the super-packet",
        lambda s: [s.right + extra for extra in s.extras | s.rests],
        alone=False,
    ),
    Shared(
        "segment-length",
        "the length field is {value} in segments of other lengths",
        lambda s: (s.found,) if s.found > s.size else (),
    ),
)
"""On the length field of UDP or IP."""
