"""A crafted packet set: what it is for, and how its crafted packets are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .maker import Maker
    from .packet import CraftedPacket

Traffic = tuple[Literal["tcp", "udp"], bool]

TCP_SEGMENTED: Traffic = ("tcp", True)
TCP_SINGLE: Traffic = ("tcp", False)
UDP_SINGLE: Traffic = ("udp", False)
UDP_SEGMENTED: Traffic = ("udp", True)
"""Kinds of traffic: the protocol, and whether some of the crafted packets are super-packets."""

MIN_FRAMES = 400
"""The least frames of a crafted packet set; of one with super-packets, the least segments."""


@dataclass(frozen=True)
class PacketSet:
    """A set of crafted packets.

    Attributes:
        name: Its name in flow ids.
        title: A description of what it sends, for people.
        faults: Names of the faults that it is meant to find.
        traffic: The kinds of traffic that it is sent as in a tunnel.
        make: Makes one round of its crafted packets; the argument says whether some of them are to
            be super-packets.
        plain: The kinds of traffic that it is sent as without a tunnel.
        port: The destination port of all its crafted packets; None for the burst's port.
        outer_target: Whether its outer checksums have chosen values. It then needs a tunnel with
            outer checksums and a known source port.
    """

    name: str
    title: str
    faults: tuple[str, ...]
    traffic: tuple[Traffic, ...]
    make: Callable[[Maker, bool], Iterator[CraftedPacket]]
    plain: tuple[Traffic, ...] = ()
    port: int | None = None
    outer_target: bool = False

    def crafted_packets(self, make: Maker, segmented: bool) -> Iterator[CraftedPacket]:
        """Yields its crafted packets, in as many rounds as make enough frames.

        With enough frames, an intermittent fault is found as well: one that hits 3 % of the frames
        is missed by five crafted packet sets in a million.

        Args:
            make: Makes the crafted packets.
            segmented: Whether some of them are super-packets; only segments are counted then.
        """
        count = 0
        while count < MIN_FRAMES:
            for crafted in self.make(make, segmented):
                yield crafted
                frames = crafted.frames
                count += frames if frames > 1 or not segmented else 0
