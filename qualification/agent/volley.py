"""Fires a volley, into a tunnel or not, and holds what arrives against what was due.

The buffers go in by AF_PACKET with PACKET_VNET_HDR (packet(7), net/packet/af_packet.c), so that
the tunnel takes them for its stack's own: unfinished, and super-packets uncut.
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections import Counter
from collections.abc import Iterable, Iterator

from qualification.wire.difference import differences, nearest
from qualification.wire.dissect import Layout
from qualification.wire.layers import Checked
from qualification.wire.packet import TCP, UDP, Packet
from qualification.wire.shots import Maker, Path, Shot, canonical
from qualification.wire.volleys import VOLLEYS

from . import namespaces
from .capture import PeerCapture, SenderCapture, of_flow
from .messages import CaptureOrder, Handed, VolleyOrder
from .payload import pool
from .ring import Rings

_SOL_PACKET, _PACKET_VNET_HDR = 263, 15
_SEND_BUFFER = 16 << 20
_FINISHED = bytes(10)
"""The struct virtio_net_hdr of a frame that asks for nothing."""

_VXLAN_WORDS = b"\x08\0\0\0"


def shots_of(order: VolleyOrder) -> Iterator[Shot]:
    """The buffers of a volley; the same wherever they are made."""
    path = Path(
        bytes.fromhex(order.source_mac.replace(":", "")),
        bytes.fromhex(order.destination_mac.replace(":", "")),
        ipaddress.ip_address(order.source).packed,
        ipaddress.ip_address(order.destination).packed,
        order.port,
        order.mtu,
        order.ttl,
        order.around,
    )
    make = Maker(path, TCP if order.protocol == "tcp" else UDP, pool(order.seed))
    return VOLLEYS[order.volley].shots(make, order.segmented)


class RawSockets:
    """Sends buffers as they are, on any device of a namespace.

    The sockets are kept: closing one takes the kernel 10 ms and more, as with `ring.Rings`.
    """

    def __init__(self) -> None:
        self._of: dict[int | None, socket.socket] = {}

    def fire(self, shots: Iterable[Shot], device: str, namespace: int | None) -> int:
        """Sends a volley.

        Args:
            shots: Its buffers.
            device: What they are sent on.
            namespace: Where that is; None for here.

        Returns:
            How many frames what the kernel took of it has to make on the wire.
        """
        raw = self._of.get(namespace) or self._open(namespace)
        raw.bind((device, 0))
        frames = 0
        for shot in shots:
            try:
                raw.send(shot.vnet() + shot.frame)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                continue  # a kernel before 6.2 takes no UDP super-packets here
            frames += shot.frames
        return frames

    def throw(self, frames: Iterable[bytes], device: str) -> int:
        """Sends finished frames on a device that is here; says how many."""
        raw = self._of.get(None) or self._open(None)
        raw.bind((device, 0))
        count = 0
        for frame in frames:
            raw.send(_FINISHED + frame)
            count += 1
        return count

    def _open(self, namespace: int | None) -> socket.socket:
        with namespaces.inside(namespace):
            raw = self._of[namespace] = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        raw.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        return raw

    def close(self) -> None:
        """Closes them all."""
        while self._of:
            self._of.popitem()[1].close()


class VolleySender(SenderCapture):
    """Counts what the kernel hands to the NIC of a volley, each shot by its own segment size."""

    in_place = False

    def __init__(self, order: CaptureOrder, rings: Rings, shots: Iterable[Shot]) -> None:
        self._sizes_of = {shot.source_port: shot.gso_size for shot in shots}
        self._handed: Counter[str] = Counter()
        super().__init__(order, rings)

    @property
    def frames(self) -> int:
        """Frames that what was seen so far makes on the wire."""
        return self._handed["frames"]

    def _count(self, packet: Packet, payload: int, unfinished: bool) -> None:
        segment = self._sizes_of.get(packet.source_port or 0, 0) or max(1, payload)
        pieces = max(1, -(-payload // segment))
        handed = self._handed
        handed["packets"] += 1
        handed["frames"] += pieces
        handed["unfinished"] += pieces if unfinished else 0
        if pieces > 1:
            handed["super_packets"] += 1
            handed["segments"] += pieces

    def finish(self, _segment: int = 0) -> Handed:
        """Ends the capture and says what was handed over."""
        return Handed(drops=self._close(), **self._handed)


class VolleyCapture(PeerCapture):
    """Judges every frame of a volley, and whether it is one of those that were due."""

    in_place = False  # every frame is held against those that were due

    def __init__(self, order: CaptureOrder, rings: Rings, volley: VolleyOrder) -> None:
        self._shots = {shot.source_port: shot for shot in shots_of(volley)}
        self._due = Counter(frame for shot in self._shots.values() for frame in shot.expected())
        self._outer: dict[int, bytes] = {}
        self._idents: set[tuple[int, bytes]] = set()
        super().__init__(order, rings)

    def _differs(self, data: bytes, checked: Checked) -> str | None:
        layout = checked.layout
        tunnel = self._order.vni is not None
        packet = None if layout is None else of_flow(self._order, layout)
        if layout is None or packet is None:
            fragment = layout is not None and layout.outer.trouble == "fragment"
            return "it is an IP fragment" if fragment else None
        found = _stripped(data, layout, packet)
        if found not in self._due:
            return "it is not one of the frames that were due"
        if not self._due[found]:
            return "it came twice"
        self._due[found] -= 1
        shot = self._shots[packet.source_port or 0]
        if shot.fragmentable:
            ident = shot.source_port, data[packet.start + 4 : packet.start + 6]
            if ident in self._idents:
                return "its IPv4 id is another segment's, and DF is not set"
            self._idents.add(ident)
        return self._tunnel_differs(data, layout, shot) if tunnel else None

    def _tunnel_differs(self, data: bytes, layout: Layout, shot: Shot) -> str | None:
        """What of the outer headers is not as it should be, or not as in its other segments."""
        vxlan, start = layout.vxlan or 0, layout.outer.start
        if data[vxlan : vxlan + 4] != _VXLAN_WORDS or data[vxlan + 7]:
            return f"VXLAN header is {data[vxlan : vxlan + 8].hex()}: reserved bits are set"
        if layout.outer.family == 4:
            outer = data[start + 1 : start + 2] + data[start + 6 : start + 9]
        else:
            outer = data[start : start + 4] + data[start + 7 : start + 8]
        outer += data[layout.outer.l4 : layout.outer.l4 + 2]
        if self._outer.setdefault(shot.source_port, outer) != outer:
            return (
                "outer DSCP, DF, TTL or source port are not those of the other segments of the "
                "same super-packet"
            )
        return None

    def _explain(self, data: bytes, checked: Checked) -> list[str]:
        """The fields in which a frame that was not due differs from the nearest one that was."""
        layout = checked.layout
        packet = None if layout is None else of_flow(self._order, layout)
        if layout is None or packet is None:
            return []
        found = _stripped(data, layout, packet)
        shot = self._shots.get(packet.source_port or 0)
        if shot is None:
            return ["no frame of this source port was due"]
        due = nearest(found, shot.expected())
        if due is None or due == found:
            return []
        return differences(found, due, shot.l3, shot.l4, shot.protocol)


def _stripped(data: bytes, layout: Layout, packet: Packet) -> bytes:
    """The frame that was sent, out of its tunnel and without padding, in its canonical form."""
    start = 0 if layout.vxlan is None else layout.vxlan + 8
    end = packet.end if layout.vxlan is None else layout.outer.end
    return canonical(data[start:end], packet.start - start, packet.l4 - start, packet.protocol)
