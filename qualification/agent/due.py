"""What is due of a volley, and holding what arrives against it, byte for byte.

Its C twin is `due.h`. What has come so far stands in memory that both read and write, so that a
frame which one of the two has counted has come for the other, too.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from functools import cached_property
from itertools import accumulate

from qualification.wire.difference import differences, nearest
from qualification.wire.dissect import Layout
from qualification.wire.packet import Packet
from qualification.wire.shots import Shot, canonical

_VXLAN_WORDS = b"\x08\0\0\0"


class Due:
    """The frames that are due of a volley.

    Args:
        shots: Its buffers, each with a source port of its own.
        tunnel: Whether the frames come in a tunnel.

    Attributes:
        tunnel: The same.
        frames: All of them, one behind the other, as `canonical` leaves them.
        starts: Where each begins, and where the last one ends.
        came: For each the IPv4 id with which it came; 0 for any over IPv6; -1: not yet.
        first_port: The least source port. What there is for each shot is for each port from there
            on.
        firsts: For each shot the number of its first frame, and of the one behind the last.
        fragmentable: For each shot whether the ids of its frames must differ.
        outer: For each shot the outer fields that all its frames share; 0: none came yet.
    """

    def __init__(self, shots: Iterable[Shot], *, tunnel: bool) -> None:
        self._shots = {shot.source_port: shot for shot in shots}
        self.tunnel = tunnel
        self.first_port = min(self._shots, default=0)
        self.firsts = array("I")
        frames: list[bytes] = []
        ports = range(self.first_port, max(self._shots, default=-1) + 1)
        for port in ports:
            self.firsts.append(len(frames))
            if port in self._shots:
                frames += self._shots[port].expected()
        self.firsts.append(len(frames))
        self.frames = b"".join(frames)
        self.starts = array("I", accumulate(map(len, frames), initial=0))
        self.came = array("i", [-1]) * len(frames)
        self.fragmentable = bytes(
            port in self._shots and self._shots[port].fragmentable for port in ports
        )
        self.outer = array("Q", [0]) * len(ports)

    @cached_property
    def _numbers(self) -> dict[bytes, list[int]]:
        """Frames by their bytes; several if the same is due several times."""
        numbers: dict[bytes, list[int]] = {}
        for number in range(len(self.came)):
            frame = self.frames[self.starts[number] : self.starts[number + 1]]
            numbers.setdefault(frame, []).append(number)
        return numbers

    def differs(self, data: bytes, layout: Layout) -> str | None:
        """What is wrong with a frame of the volley beside its checksums; counts it."""
        packet = self._packet(layout)
        if packet is None:
            return "it is an IP fragment" if layout.outer.trouble == "fragment" else None
        numbers = self._numbers.get(self._stripped(data, layout, packet))
        if numbers is None:
            return "it is not one of the frames that were due"
        number = next((number for number in numbers if self.came[number] < 0), None)
        if number is None:
            return "it came twice"
        place = (packet.source_port or 0) - self.first_port
        ident = 0
        if packet.family == 4:
            ident = int.from_bytes(data[packet.start + 4 : packet.start + 6], "big")
        taken = ident in self.came[self.firsts[place] : self.firsts[place + 1]]
        self.came[number] = ident
        if taken and self.fragmentable[place]:
            return "its IPv4 id is another segment's, and DF is not set"
        return self._tunnel_differs(data, layout, place) if self.tunnel else None

    def _tunnel_differs(self, data: bytes, layout: Layout, place: int) -> str | None:
        """What of the outer headers is not as it should be, or not as in its other segments."""
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
        """The fields in which a frame that was not due differs from the nearest one that was."""
        packet = self._packet(layout)
        if packet is None:
            return []
        shot = self._shots.get(packet.source_port or 0)
        if shot is None:
            return ["no frame of this source port was due"]
        found = self._stripped(data, layout, packet)
        due = nearest(found, shot.expected())
        if due is None or due == found:
            return []
        return differences(found, due, shot.l3, shot.l4, shot.protocol)

    def _packet(self, layout: Layout) -> Packet | None:
        return layout.inner if self.tunnel else layout.outer

    def _stripped(self, data: bytes, layout: Layout, packet: Packet) -> bytes:
        """The frame that was sent, out of its tunnel and without padding, in canonical form."""
        start = (layout.vxlan or 0) + 8 if self.tunnel else 0
        end = layout.outer.end if self.tunnel else packet.end
        return canonical(data[start:end], packet.start - start, packet.l4 - start, packet.protocol)


def _outer_fields(data: bytes, outer: Packet) -> int:
    """DSCP, DF, TTL or their like over IPv6, flow label and source port: all in one number."""
    at = outer.start
    if outer.family == 4:
        rest = data[at + 1] << 24 | int.from_bytes(data[at + 6 : at + 9], "big")
    else:
        rest = int.from_bytes(data[at : at + 4], "big") << 8 | data[at + 7]
    return outer.family << 56 | (outer.source_port or 0) << 40 | rest
