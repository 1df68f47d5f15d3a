"""What the sending kernel submitted to the driver for a bad frame, beside the frame itself.

As in `bursts`, these are frozen dataclasses of JSON types for Python 3.9.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SubmittedPacket:
    """A buffer that was submitted to the driver, as the sender's tap saw it.

    Attributes:
        data: Its first bytes, base64, with all headers; a VLAN tag that the NIC was to insert is in
            its place.
        length: Bytes of the whole buffer, with that tag.
        csum_partial: Whether its innermost checksum was left to the NIC (CHECKSUM_PARTIAL): the
            field holds the pseudo-header sum.
    """

    data: str
    length: int
    csum_partial: bool


@dataclass(frozen=True)
class SubmittedPackets:
    """The answer to the request "submitted".

    Attributes:
        packets: For each frame the buffer that it was made of; None where the tap's memory has
            none.
    """

    packets: tuple[SubmittedPacket | None, ...]
