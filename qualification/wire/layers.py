"""The layers of a frame as bits, and what a verification says about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .dissect import Layout

OUTER_IP, OUTER_L4, VXLAN, INNER_IP, INNER_L4 = 1, 2, 4, 8, 16
INWARD = 3
"""Shift that turns the bit of an outer IP or L4 layer into that of the inner one."""

LAYERS = {
    OUTER_IP: "outer IP",
    OUTER_L4: "outer L4",
    VXLAN: "VXLAN",
    INNER_IP: "inner IP",
    INNER_L4: "inner L4",
}
"""Bit of a layer to its name, outermost first."""


class Checked(NamedTuple):
    """What became of one frame. Masks are made of the bits in `LAYERS`, no bit is in two of them.

    Attributes:
        good: Layers found right: a checksum that fits, a VXLAN header with its I flag. The IPv6
            header has no checksum, so an IP layer over IPv6 is in no mask unless it is bad.
        bad: Layers found wrong.
        absent: UDP layers whose field is 0 where that means "no checksum": over IPv4, and over
            IPv6 for the outer UDP of a tunnel (RFC 6935, RFC 6936).
        unjudged: Layers that could not be judged.
        reason: Why a layer is unjudged, or bad for something other than its checksum; the
            outermost if there are several. A `trouble` of `Packet` or `Layout`, with "l4-length"
            told as "length". "not-ip" comes with no layer at all, or none inside the tunnel.
            None in the ordinary case.
        layout: Where everything is; None if the frame is not IP.
    """

    good: int
    bad: int
    absent: int
    unjudged: int
    reason: str | None
    layout: Layout | None

    def state(self, bit: int) -> str | None:
        """Return "good", "bad", "absent" or "unjudged" for a layer; None if it is in no mask."""
        if self.bad & bit:
            return "bad"
        if self.unjudged & bit:
            return "unjudged"
        if self.absent & bit:
            return "absent"
        return "good" if self.good & bit else None
