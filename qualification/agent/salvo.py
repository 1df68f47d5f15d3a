"""Volleys at both ends, each made once: what is fired of it, and what is due.

It is the same in every burst but for the ports (`shots.first_source_port`), whatever tunnel it goes
through, and making it takes ten times as long as sending it does. Of each there is one, for one
burst at a time.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from itertools import accumulate

from qualification.wire.maker import Maker
from qualification.wire.packet import TCP, UDP
from qualification.wire.shots import VNET_SIZE, Path, Shot, aim
from qualification.wire.volleys import VOLLEYS

from .due import Due
from .messages import VolleyOrder
from .payload import pool

_KEPT = 128
"""Volleys; a plan has some 70, of a quarter of a megabyte on average."""
_ANY_PORT = 20_000


class Salvo:
    """The buffers of a volley, each with its struct virtio_net_hdr, for PACKET_VNET_HDR.

    Args:
        shots: What they are made of.

    Attributes:
        sizes: Payload bytes of each segment by the number of the shot; 0 for one not to be cut.
        first_port: Source port of the first shot.
    """

    def __init__(self, shots: Iterable[Shot]) -> None:
        made = tuple(shots)
        buffers = [shot.vnet() + shot.frame for shot in made]
        self._bytes = bytearray().join(buffers)
        self._starts = array("I", accumulate(map(len, buffers), initial=0))
        self._frames = [shot.frames for shot in made]
        self._heads = [
            (start + VNET_SIZE + shot.l4, number)
            for number, (start, shot) in enumerate(zip(self._starts, made))  # noqa: B905
        ]
        self.sizes = array("H", [shot.gso_size for shot in made])
        self.first_port = made[0].source_port

    def aim(self, port: int) -> None:
        """Has it go to a port."""
        self.first_port = aim(self._bytes, self._heads, port)

    def __iter__(self) -> Iterator[tuple[memoryview, int]]:
        """Each buffer, and how many frames it makes on the wire."""
        view = memoryview(self._bytes)
        for number, frames in enumerate(self._frames):
            yield view[self._starts[number] : self._starts[number + 1]], frames


def shots_of(order: VolleyOrder) -> Iterator[Shot]:
    """The shots of a volley; the same wherever they are made."""
    path = Path.of(
        (order.source_mac, order.destination_mac),
        (order.source, order.destination),
        order.port,
        order.mtu,
        order.ttl,
        order.around,
    )
    make = Maker(path, TCP if order.protocol == "tcp" else UDP, pool(order.seed))
    return VOLLEYS[order.volley].shots(make, order.segmented)


def salvo_of(order: VolleyOrder) -> Salvo:
    """What is to be fired of a volley."""
    salvo = _salvo(_alike(order))
    salvo.aim(order.port)
    return salvo


def due_of(order: VolleyOrder) -> Due:
    """What is due of a volley, none of which has come yet."""
    due = _due(_alike(order))
    due.aim(order.port)
    return due


def _alike(order: VolleyOrder) -> VolleyOrder:
    """The same for all orders of which the same is made but for the ports."""
    return replace(order, port=_ANY_PORT, device="", vni=None if order.vni is None else 0)


@lru_cache(_KEPT)
def _salvo(order: VolleyOrder) -> Salvo:
    return Salvo(shots_of(order))


@lru_cache(_KEPT)
def _due(order: VolleyOrder) -> Due:
    return Due(shots_of(order), tunnel=order.vni is not None)
