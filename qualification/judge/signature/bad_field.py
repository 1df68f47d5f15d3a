"""Bad fields: one wrong field of one bad frame, with everything that may have gone into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from qualification.wire.packet import Packet

FieldKind = Literal["sum", "header", "length"]


@dataclass(frozen=True, slots=True)
class BadField:
    """One wrong field. Sums are residues modulo 65535, see `qualification.wire.checksum`.

    Attributes:
        index: Index of its frame among the bad frames.
        kind: "sum" for a TCP or UDP checksum, "header" for an IPv4 header's, "length" for the
            length of UDP or IP.
        frame: The bytes: from the wire, or as they were meant to be.
        packet: The packet that the field belongs to.
        at: Offset of the field, bytes.
        found: The value of the field.
        right: The value that it should have.
        size: Bytes of the L4 header and payload, by the IP length; for a length of IP, bytes of the
            IP packet.
        end: Offset behind them.
        payload: Offset of the layer's own payload.
        data: Bytes of application data in the frame, which is what segmentation divides.
        rest: Sum of what the checksum covers, without the field.
        addresses: Sum of the pseudo-header's addresses.
        tagged: Whether a VLAN tag is in front.
        full: Bytes of application data of a full segment, as far as the bad frames show.
        extras: Numbers of bytes by which a super-packet of full segments may be longer than this
            segment.
        rests: The same for super-packets that end in a shorter segment, which was seen later.
        before: The right values of the same field in the frames before, nearest first.
        around: The values found in the same field of the frames before and after.
        other: The same field of the packet around this one, or inside it.
        meant: The same field in the frame as it was meant to be, where the inner layers are wrong.
    """

    index: int
    kind: FieldKind
    frame: bytes
    packet: Packet
    at: int
    found: int
    right: int
    size: int
    end: int
    payload: int
    data: int
    rest: int
    addresses: int
    tagged: bool
    full: int = 0
    extras: frozenset[int] = frozenset()
    rests: frozenset[int] = frozenset()
    before: tuple[int, ...] = ()
    around: frozenset[int] = frozenset()
    other: BadField | None = None
    meant: BadField | None = None

    @property
    def protocol(self) -> int:
        """IP protocol number."""
        return self.packet.protocol

    @property
    def pseudo_sum(self) -> int:
        """Sum of the pseudo-header, which the kernel leaves in the field with CHECKSUM_PARTIAL."""
        return self.addresses + self.protocol + self.size

    @property
    def difference(self) -> int:
        """The value found minus the right one, as a residue."""
        return (self.found - self.right) % 65535
