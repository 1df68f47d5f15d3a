"""Frames for the receiver of a tunnel, right and wrong on purpose, and which must be delivered.

The frames are complete, as on a wire: nothing is left for the sender's NIC to do. Which of them
must be delivered follows from what Linux does if no NIC reports a checksum as verified. It drops an
IPv4 header whose checksum is wrong (`ip_rcv_core`, net/ipv4/ip_input.c, whatever the NIC reports).
It drops a UDP datagram whose checksum is wrong and not 0 before a tunnel gets it
(`udp_queue_rcv_one_skb`, net/ipv4/udp.c), and likewise inside the tunnel; TCP in the same way
(`tcp_v4_rcv`, `tcp_rcv_established`). It delivers a frame with an outer checksum of 0 (over IPv6 if
the VXLAN device has udp6zerocsumrx: RFC 6935), trims bytes behind the IP packet
(`pskb_trim_rcsum`), and treats a tag of VLAN 0 as no VLAN (`__netif_receive_skb_core`,
net/core/dev.c; IEEE 802.1Q, priority-tagged frames).

Everything is deterministic. The sender and the receiver make the same frames from the same order:
the sender to send them, and the receiver to compare with them, byte for byte, the frames that it
captures and the payloads that its sockets receive.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qualification.wire.layers import INNER_IP, INNER_L4, LAYERS, OUTER_IP, OUTER_L4
from qualification.wire.packet import TCP, UDP

from .maker import Maker
from .packet import ACK, PSH, Path
from .receive_inner import InnerPackets, StreamPlace, finish, spoil

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

RIGHT: Mapping[str, str] = {
    "even": "payloads of an even length",
    "odd": "payloads of an odd length",
    "tiny": "payloads of 0 to 3 bytes",
    "full": "as long as the link's MTU, and a byte less",
    "zero-outer": "no outer checksum: its field is 0",
    "padded": "a short frame inside the tunnel, padded to 60 bytes with zeros",
    "trailing": "bytes inside the tunnel behind the IP packet, not zeros",
    "outer-trailing": "bytes behind the outer IP packet, not zeros",
    "computed-0": "an inner checksum that is computed as 0: UDP sends it as 0xffff",
    "options": "IPv4 options inside, or an IPv6 destination options header",
    "vlan": "an 802.1Q tag of VLAN 0 inside",
    "no-inner": "UDP over IPv4 without a checksum inside",
}
"""Shapes of right frames, in the order in which they are sent."""

WRONG: Mapping[str, tuple[str, int]] = {
    "outer": ("outer UDP checksum wrong", OUTER_L4),
    "inner": ("inner checksum wrong, the outer one right over it", INNER_L4),
    "inner-zero-outer": ("inner checksum wrong, no outer one", INNER_L4),
    "both": ("outer and inner checksum wrong", OUTER_L4 | INNER_L4),
    "flipped": ("a bit of the payload flipped behind both checksums", OUTER_L4 | INNER_L4),
    "outer-ip": ("outer IPv4 header checksum wrong", OUTER_IP),
    "inner-ip": ("inner IPv4 header checksum wrong, the outer UDP checksum right", INNER_IP),
}
"""Shapes of wrong frames and the layers that are wrong, in the order in which they are sent."""

REFERENCE = "reference"
"""A right frame whose inner frame is not IP and is delivered to no application. If it arrives while
all others are missing, the path does carry the tunnel."""

FRAMES = 400
"""The least frames of a burst."""

_FIRST_OUTER_PORT = 0xC000  # as VXLAN's own (RFC 7348, section 5): 49152 and up
_OUTER_PORTS = 0x3000
_SHORTEST = 60
_EXPERIMENTAL = 0x88B5  # an EtherType for local experiments (IEEE 802)
_ORDINARY = ("even", "odd")


@dataclass(frozen=True)
class ReceiveFrame:
    """One frame of a receive test.

    Attributes:
        frame: The bytes of the frame, from the outer destination MAC on, without FCS.
        shape: A key of `RIGHT` or `WRONG`, or `REFERENCE`.
        wrong: Names of the wrong layers; a frame without any must be delivered.
        source_port: The inner source port, which is different for each datagram or TCP stream.
        payload: The payload that the application receives, if the frame is delivered.
        at: TCP: offset of the payload in its stream. A wrong segment is the last of its stream.
        sequence: TCP: the sequence number.
    """

    frame: bytes
    shape: str
    wrong: tuple[str, ...]
    source_port: int
    payload: bytes
    at: int = 0
    sequence: int = 0


def receive_frames(
    outer: Path, inner: Path, vni: int, protocol: int, fill: bytes
) -> Iterator[ReceiveFrame]:
    """Yields the frames of a burst, in rounds of all shapes for the families and the protocol.

    With TCP, each shape is the second segment of a stream whose first segment is an ordinary one.
    The receiver may merge the two, but not if the second one is wrong.

    Args:
        outer: The outer addresses; its port is the tunnel's.
        inner: The inner addresses.
        vni: VXLAN network identifier.
        protocol: IP protocol of the inner packets, `packet.TCP` or `packet.UDP`.
        fill: Bytes that payloads are copied from.
    """
    craft = _Craft(outer, inner, vni, protocol, fill)
    count = turn = 0
    while count < FRAMES:
        yield craft.reference(turn)
        count += 1
        for shape in craft.shapes():
            for receive_frame in craft.make(shape, turn):
                yield receive_frame
                count += 1
        turn += 1


class _Craft:
    """Makes the frames; the arguments are those of `receive_frames`."""

    def __init__(self, outer: Path, inner: Path, vni: int, protocol: int, fill: bytes) -> None:
        self._outer = Maker(outer, UDP, b"\0")
        self._inner = Maker(inner, protocol, fill)
        self._packets = InnerPackets(self._inner)
        self._vxlan = struct.pack("!II", 0x08000000, vni << 8)  # RFC 7348, section 5
        self._protocol = protocol

    def shapes(self) -> Iterator[str]:
        """Yields the shapes that apply, right and wrong ones alternating."""
        four, inner_four = self._outer.path.family == 4, self._inner.path.family == 4
        left_out = set()
        if not four:
            left_out.add("outer-ip")
        if not inner_four:
            left_out.add("inner-ip")
        if not inner_four or self._protocol == TCP:
            left_out.add("no-inner")
        right = [name for name in RIGHT if name not in left_out]
        wrong = [name for name in WRONG if name not in left_out]
        for place, name in enumerate(right):
            yield name
            yield from wrong[place : place + 1]

    def reference(self, turn: int) -> ReceiveFrame:
        """Returns a round's frame that is not IP inside the tunnel."""
        path = self._inner.path
        head = path.destination_mac + path.source_mac + struct.pack("!HI", _EXPERIMENTAL, turn)
        inside = head + bytes(_SHORTEST - len(head))
        return ReceiveFrame(
            bytes(self._around(REFERENCE, inside, turn, turn)), REFERENCE, (), 0, b""
        )

    def make(self, shape: str, turn: int) -> Iterator[ReceiveFrame]:
        """Yields the frame of a shape, and before it the first segment of its stream, if any.

        Args:
            shape: A key of `RIGHT` or `WRONG`.
            turn: Number of the round, which the sizes depend on.
        """
        if self._protocol == UDP:
            yield self._receive_frame(shape, turn, None)
            return
        first = self._receive_frame(_ORDINARY[turn % 2], turn, None, flags=ACK)
        yield first
        yield self._receive_frame(shape, turn, first)

    def _receive_frame(
        self, shape: str, turn: int, before: ReceiveFrame | None, flags: int = ACK | PSH
    ) -> ReceiveFrame:
        place = None
        if before is not None:
            follows = (before.sequence + len(before.payload)) & 0xFFFFFFFF
            place = StreamPlace(before.source_port, follows)
        inner, start, size = self._packets.packet(shape, turn, place, flags)
        port = int.from_bytes(inner[start : start + 2], "big")
        sequence = int.from_bytes(inner[start + 4 : start + 8], "big")
        payload_at = len(inner) - size
        trailer = b""
        if shape == "padded":
            trailer = bytes(max(2, _SHORTEST - len(inner)))
        elif shape == "trailing":
            trailer = self._inner.payload(1 + turn % 9) + b"\xa5"
        frame = self._around(shape, bytes(inner) + trailer, port, turn)
        outer_size = len(frame) - len(inner) - len(trailer)
        if shape == "outer-trailing":
            outer_size -= 4
        if shape == "flipped":
            at = outer_size + payload_at + turn * 37 % size
            frame[at] ^= 1 << turn % 8
            inner = frame[outer_size : outer_size + len(inner)]
        bits = WRONG[shape][1] if shape in WRONG else 0
        return ReceiveFrame(
            bytes(frame),
            shape,
            tuple(name for bit, name in LAYERS.items() if bits & bit),
            port,
            bytes(inner[payload_at:]),
            0 if before is None else before.at + len(before.payload),
            sequence if self._protocol == TCP else 0,
        )

    def _around(self, shape: str, inside: bytes, inner_port: int, turn: int) -> bytearray:
        """Returns the frame on the wire that carries an inner frame."""
        crafted = self._outer.crafted(self._vxlan + inside, df=False)
        frame = bytearray(crafted.frame)
        # As in the kernel, the segments of a stream have the same outer source port.
        struct.pack_into("!H", frame, crafted.l4, _FIRST_OUTER_PORT + inner_port % _OUTER_PORTS)
        finish(frame, crafted)
        if shape in ("zero-outer", "inner-zero-outer"):
            frame[crafted.l4 + 6 : crafted.l4 + 8] = bytes(2)
        elif shape in ("outer", "both"):
            spoil(frame, crafted.checksum_at)
        elif shape == "outer-ip":
            spoil(frame, crafted.l3 + 10)
        elif shape == "outer-trailing":
            frame += struct.pack("!I", 0xA5000001 + turn)
        return frame
