"""The expected frames of a crafted packet set, and the comparison of received frames with them.

Frames are compared byte for byte. The native (C) implementation is `expected_frames.h`. Which
frames were received is kept in memory that both implementations read and write, so that a frame
which one of them has counted is known to the other.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable

from qualification.wire.crafted.difference import differences, nearest
from qualification.wire.crafted.packet import CraftedPacket, canonical, retarget
from qualification.wire.dissect import Layout
from qualification.wire.packet import Packet

_VXLAN_WORDS = b"\x08\0\0\0"


class ExpectedFrames:
    """The frames that are expected of a crafted packet set.

    Args:
        crafted_packets: Its packets, each with the next source port.
        tunnel: Whether the frames come in a tunnel.

    Attributes:
        tunnel: Whether the frames come in a tunnel.
        frames: All frames, one behind the other, in the form that `canonical` makes.
        starts: The offset of each frame, and the end of the last one.
        received_ids: For each frame the IPv4 id with which it was received, or 0 over IPv6; -1 if
            it was not received yet.
        first_port: Source port of the first crafted packet.
        first_frames: For each crafted packet the number of its first frame; one more number ends
            the last packet.
        fragmentable: For each crafted packet whether the ids of its frames must differ.
        outer: For each crafted packet the outer fields that all its frames share; 0 if none was
            received yet.
    """

    def __init__(self, crafted_packets: Iterable[CraftedPacket], *, tunnel: bool) -> None:
        self.tunnel = tunnel
        self._places: list[tuple[int, int, int]] = []
        self._heads: list[tuple[int, int]] = []
        self.first_port = 0
        self.first_frames = array("I", [0])
        self.starts = array("I", [0])
        fragmentable = bytearray()
        frames: list[bytes] = []
        end = 0
        for number, crafted in enumerate(crafted_packets):
            if not number:
                self.first_port = crafted.source_port
            self._places.append((crafted.l3, crafted.l4, crafted.protocol))
            for frame in crafted.expected():
                self._heads.append((end + crafted.l4, number))
                frames.append(frame)
                end += len(frame)
                self.starts.append(end)
            self.first_frames.append(len(frames))
            fragmentable.append(crafted.fragmentable)
        self.frames = bytearray().join(frames)
        self.fragmentable = bytes(fragmentable)
        self._reset()

    def _reset(self) -> None:
        self.received_ids = array("i", [-1]) * len(self._heads)
        self.outer = array("Q", [0]) * len(self._places)
        self._numbers: dict[bytes, list[int]] = {}

    def retarget(self, port: int) -> None:
        """Expects the frames once more, to another port; none of them was received yet."""
        self.first_port = retarget(self.frames, self._heads, port)
        self._reset()

    def _frame(self, number: int) -> bytes:
        return bytes(self.frames[self.starts[number] : self.starts[number + 1]])

    def _numbers_of(self, found: bytes) -> list[int]:
        """Returns the numbers of the frames with these bytes; equal frames may be expected."""
        if not self._numbers:
            for number in range(len(self.received_ids)):
                self._numbers.setdefault(self._frame(number), []).append(number)
        return self._numbers.get(found, [])

    def check_off(self, data: bytes, layout: Layout) -> str | None:
        """Counts a received frame; returns what is wrong with it, apart from its checksums."""
        packet = self._packet(layout)
        if packet is None:
            return "it is an IP fragment" if layout.outer.trouble == "fragment" else None
        numbers = self._numbers_of(self._stripped(data, layout, packet))
        if not numbers:
            return "it is not one of the expected frames"
        number = next((number for number in numbers if self.received_ids[number] < 0), None)
        if number is None:
            return "it came twice"
        place = (packet.source_port or 0) - self.first_port
        ident = 0
        if packet.family == 4:
            ident = int.from_bytes(data[packet.start + 4 : packet.start + 6], "big")
        taken = ident in self.received_ids[self.first_frames[place] : self.first_frames[place + 1]]
        self.received_ids[number] = ident
        if taken and self.fragmentable[place]:
            return "its IPv4 id is another segment's, and DF is not set"
        return self._outer_difference(data, layout, place) if self.tunnel else None

    def _outer_difference(self, data: bytes, layout: Layout, place: int) -> str | None:
        """Returns what is wrong with the outer headers, or differs from the other segments'."""
        vxlan = layout.vxlan or 0
        if data[vxlan : vxlan + 4] != _VXLAN_WORDS or data[vxlan + 7]:
            return f"VXLAN header is {data[vxlan : vxlan + 8].hex()}: reserved bits are set"
        fields = _outer_fields(data, layout.outer)
        if not self.outer[place]:
            self.outer[place] = fields
        if self.outer[place] != fields:
            return (
                "outer DSCP, DF, TTL or source port are not those of the other segments of the "
                "same super-packet"
            )
        return None

    def explain(self, data: bytes, layout: Layout) -> list[str]:
        """Returns the fields in which an unexpected frame differs from the nearest expected one."""
        packet = self._packet(layout)
        if packet is None:
            return []
        crafted = (packet.source_port or 0) - self.first_port
        if not 0 <= crafted < len(self._places):
            return ["no frame with this source port is expected"]
        found = self._stripped(data, layout, packet)
        expected = nearest(
            found, map(self._frame, range(*self.first_frames[crafted : crafted + 2]))
        )
        if expected is None or expected == found:
            return []
        return differences(found, expected, *self._places[crafted])

    def _packet(self, layout: Layout) -> Packet | None:
        return layout.inner if self.tunnel else layout.outer

    def _stripped(self, data: bytes, layout: Layout, packet: Packet) -> bytes:
        """Returns the inner frame (or the plain one) without padding, in canonical form."""
        start = (layout.vxlan or 0) + 8 if self.tunnel else 0
        end = layout.outer.end if self.tunnel else packet.end
        return canonical(data[start:end], packet.start - start, packet.l4 - start, packet.protocol)


def _outer_fields(data: bytes, outer: Packet) -> int:
    """Returns DSCP, DF, TTL (or their IPv6 counterparts), flow label and source port in one."""
    at = outer.start
    if outer.family == 4:
        rest = data[at + 1] << 24 | int.from_bytes(data[at + 6 : at + 9], "big")
    else:
        rest = int.from_bytes(data[at : at + 4], "big") << 8 | data[at + 7]
    return outer.family << 56 | (outer.source_port or 0) << 40 | rest
