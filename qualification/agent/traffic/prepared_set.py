"""Makes each crafted packet set once: buffers on the sender, expected frames on the receiver.

A packet set differs between bursts and tunnels only in its ports (`wire.crafted.packet.retarget`),
and making it takes ten times as long as sending it. There is one of each, for one burst at a time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate

from qualification.messages.bursts import CraftedOrder
from qualification.wire.crafted.catalogue import PACKET_SETS
from qualification.wire.crafted.maker import Maker
from qualification.wire.crafted.packet import VNET_SIZE, CraftedPacket, Path, retarget
from qualification.wire.packet import TCP, UDP

from .expected_frames import ExpectedFrames
from .payload import pool

_CACHED = 128
"""How many packet sets are cached; a plan has some 70, of a quarter of a megabyte on average."""
_ANY_PORT = 20_000


class PreparedSet:
    """The buffers of a crafted packet set, each with its struct virtio_net_hdr (PACKET_VNET_HDR).

    Args:
        crafted_packets: The packets.

    Attributes:
        segment_sizes: Payload bytes of each segment (gso_size) by the number of its packet; 0
            for a packet that is no super-packet.
        first_port: Source port of the first crafted packet.
    """

    def __init__(self, crafted_packets: Iterable[CraftedPacket]) -> None:
        made = tuple(crafted_packets)
        buffers = [crafted.vnet() + crafted.frame for crafted in made]
        self._bytes = bytearray().join(buffers)
        self._starts = array("I", accumulate(map(len, buffers), initial=0))
        self._frames = [crafted.frames for crafted in made]
        self._heads = [
            (start + VNET_SIZE + crafted.l4, number)
            for number, (start, crafted) in enumerate(zip(self._starts, made))  # noqa: B905
        ]
        self.segment_sizes = array("H", [crafted.gso_size for crafted in made])
        self.first_port = made[0].source_port

    @property
    def frames(self) -> int:
        """How many frames the buffers make on the wire."""
        return sum(self._frames)

    def retarget(self, port: int) -> None:
        """Sets the destination port, and the source ports that go with it."""
        self.first_port = retarget(self._bytes, self._heads, port)

    def buffers(self) -> Iterator[tuple[memoryview, int]]:
        """Yields each buffer with the number of frames that it makes on the wire."""
        view = memoryview(self._bytes)
        for number, frames in enumerate(self._frames):
            yield view[self._starts[number] : self._starts[number + 1]], frames


def packets_of(order: CraftedOrder) -> Iterator[CraftedPacket]:
    """Yields the packets of a crafted packet set, which are the same on both ends."""
    path = Path.of(
        (order.source_mac, order.destination_mac),
        (order.source, order.destination),
        order.port,
        order.mtu,
        order.ttl,
        order.tunnel_sum,
    )
    make = Maker(path, TCP if order.protocol == "tcp" else UDP, pool(order.seed))
    for crafted in PACKET_SETS[order.packet_set].crafted_packets(make, order.segmented):
        if not order.most_segments or crafted.frames <= order.most_segments:
            yield crafted


def prepared_set(order: CraftedOrder) -> PreparedSet:
    """Returns the buffers of a crafted packet set, to send."""
    prepared = _prepared(_without_ports(order))
    prepared.retarget(order.port)
    return prepared


def expected_frames(order: CraftedOrder) -> ExpectedFrames:
    """Returns the expected frames of a crafted packet set, none of which was received yet."""
    expected = _expected(_without_ports(order))
    expected.retarget(order.port)
    return expected


def _without_ports(order: CraftedOrder) -> CraftedOrder:
    """Returns the same order for all orders whose packets differ in their ports at most."""
    return replace(order, pace=0, port=_ANY_PORT, device="", vni=None if order.vni is None else 0)


@lru_cache(_CACHED)
def _prepared(order: CraftedOrder) -> PreparedSet:
    return PreparedSet(packets_of(order))


@lru_cache(_CACHED)
def _expected(order: CraftedOrder) -> ExpectedFrames:
    return ExpectedFrames(packets_of(order), tunnel=order.vni is not None)
