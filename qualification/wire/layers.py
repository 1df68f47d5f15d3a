"""The layers of a frame as bits, and the result of a verification."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .dissect import Layout

OUTER_IP, OUTER_L4, VXLAN, INNER_IP, INNER_L4 = 1, 2, 4, 8, 16
INWARD = 3
"""Left shift from the bit of an outer IP or L4 layer to that of the inner one."""

LAYERS = {
    OUTER_IP: "outer IP",
    OUTER_L4: "outer L4",
    VXLAN: "VXLAN",
    INNER_IP: "inner IP",
    INNER_L4: "inner L4",
}
"""The name of each layer by its bit, outermost first."""


class Checked(NamedTuple):
    """The result for one frame.

    Masks consist of the bits in `LAYERS`; no bit is set in two of them.

    Attributes:
        good: Right layers: a right checksum, or a VXLAN header with its I flag. The IPv6 header has
            no checksum, so an IP layer over IPv6 is in no mask unless it is bad.
        bad: Wrong layers.
        absent: UDP layers whose checksum field is 0 where that means "no checksum": over IPv4, and
            over IPv6 for the outer UDP of a tunnel (RFC 6935, RFC 6936).
        unjudged: Layers that could not be judged.
        reason: Why a layer is unjudged, or bad for another cause than its checksum; that of the
            outermost such layer. It is a `trouble` of `Packet` or `Layout`, but "length" for
            "l4-length". With "not-ip", no layer is in a mask, or no inner one. Usually None.
        layout: The parts of the frame; None if it is not IP.
    """

    good: int
    bad: int
    absent: int
    unjudged: int
    reason: str | None
    layout: Layout | None

    def state(self, bit: int) -> str | None:
        """Returns "good", "bad", "absent" or "unjudged" for a layer; None if it is in no mask."""
        if self.bad & bit:
            return "bad"
        if self.unjudged & bit:
            return "unjudged"
        if self.absent & bit:
            return "absent"
        return "good" if self.good & bit else None
