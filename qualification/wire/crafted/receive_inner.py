"""The inner packets of receive tests, right and wrong on purpose."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from qualification.wire.checksum import checksum, ones_sum, udp_checksum
from qualification.wire.packet import UDP

if TYPE_CHECKING:
    from .maker import Maker
    from .packet import CraftedPacket

_SPOIL = 0x5A5A
_DESTINATION_OPTIONS = 60


class StreamPlace(NamedTuple):
    """The place in a TCP stream at which a segment follows another one."""

    source_port: int
    sequence: int


class InnerPackets:
    """Makes the frames inside the tunnel.

    Args:
        make: Makes crafted packets with the addresses inside the tunnel.
    """

    def __init__(self, make: Maker) -> None:
        self._make = make

    def packet(
        self, shape: str, turn: int, place: StreamPlace | None, flags: int
    ) -> tuple[bytearray, int, int]:
        """Returns an inner frame, the offset of its L4 header, and the length of its payload.

        Args:
            shape: A key of `receive_tests.RIGHT` or `WRONG`.
            turn: Number of the round, which the sizes depend on.
            place: Its place in a TCP stream; None for the first segment, and for UDP.
            flags: TCP flags.
        """
        size, options, following = self._size(shape, turn), b"", None
        if shape == "options":
            if self._make.path.family == 4:
                options = b"\x01" * (4 * (1 + turn % 10))  # NOPs
            else:
                # One PadN option (RFC 8200, section 4.2).
                following = _DESTINATION_OPTIONS
                options = struct.pack("!BBBB", self._make.protocol, 0, 1, 4) + bytes(4)
        vlans = (turn % 8 << 13,) if shape == "vlan" else ()
        crafted = self._make.crafted(
            size, flags=flags, options=options, following=following, vlans=vlans
        )
        frame = bytearray(crafted.frame)
        l4 = crafted.l4
        if place is not None:
            struct.pack_into("!H", frame, l4, place.source_port)
            struct.pack_into("!I", frame, l4 + 4, place.sequence)
            # The pseudo-header sum in the checksum field covers neither of them.
        if shape == "computed-0":
            frame[crafted.payload_at : crafted.payload_at + 2] = bytes(2)
            word = -ones_sum(bytes(frame[l4:])) % 65535
            struct.pack_into("!H", frame, crafted.payload_at, word)
        finish(frame, crafted)
        if shape in ("inner", "inner-zero-outer", "both"):
            spoil(frame, crafted.checksum_at)
        elif shape == "inner-ip":
            spoil(frame, crafted.l3 + 10)
        elif shape == "no-inner":
            frame[crafted.checksum_at : crafted.checksum_at + 2] = bytes(2)
        return frame, l4, size

    def _size(self, shape: str, turn: int) -> int:
        """Returns the number of payload bytes: for TCP at least 1, as nothing else is delivered."""
        if shape == "full":
            return self._make.largest - turn % 2
        if shape == "tiny":
            return turn % 4 if self._make.protocol == UDP else 1 + turn % 3
        if shape == "padded":
            return 1 + turn % 5  # the shortest frame with TCP over IPv4 has 54 bytes
        if shape == "computed-0":
            return (8, 65, 1000, 257)[turn % 4]
        if shape == "even":
            return (64, 256, 1000, 18)[turn % 4]
        if shape == "odd":
            return (65, 257, 1001, 19)[turn % 4]
        return (64, 101, 1000, 3, 257, 1001)[turn % 6]


def finish(frame: bytearray, crafted: CraftedPacket) -> None:
    """Completes the checksum of a frame whose checksum field holds the pseudo-header sum."""
    total = ones_sum(bytes(frame[crafted.l4 :]))
    field = udp_checksum(total) if crafted.protocol == UDP else checksum(total)
    struct.pack_into("!H", frame, crafted.checksum_at, field)


def spoil(frame: bytearray, at: int) -> None:
    """Makes the checksum at an offset wrong; the field is not 0, and not right modulo 65535."""
    (right,) = struct.unpack_from("!H", frame, at)
    struct.pack_into("!H", frame, at, right ^ _SPOIL or 0x1234)
