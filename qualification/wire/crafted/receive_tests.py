"""Frames for a tunnel's receiver, right and wrong on purpose, and what must become of each.

They are finished, as they are on a wire: nothing is left for the sender's NIC to do. What is due
follows from Linux's own rules, where no NIC vouches for anything: it refuses an IPv4 header whose
checksum is wrong (`ip_rcv_core`, net/ipv4/ip_input.c, whatever the NIC says), a UDP checksum that
is wrong and not 0 before a tunnel gets the packet (`udp_queue_rcv_one_skb`, net/ipv4/udp.c), and
the same inside; TCP likewise (`tcp_v4_rcv`, `tcp_rcv_established`). It delivers what has an outer
checksum of 0 (over IPv6 where the VXLAN device was told to, udp6zerocsumrx: RFC 6935), cuts off
what is behind the IP packet (`pskb_trim_rcsum`), and takes a tag of VLAN 0 for no VLAN
(`__netif_receive_skb_core`, net/core/dev.c; IEEE 802.1Q, priority-tagged frames).

Everything is deterministic: whoever knows the order makes the same frames, the sender to send them
and the receiver to hold against them what it captures and what its sockets get, byte for byte.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qualification.wire.checksum import checksum, ones_sum, udp_checksum
from qualification.wire.layers import INNER_IP, INNER_L4, LAYERS, OUTER_IP, OUTER_L4
from qualification.wire.packet import TCP, UDP

from .maker import Maker
from .packet import ACK, PSH, CraftedPacket, Path

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
"""Shapes of frames that are right, in the order they are sent."""

WRONG: Mapping[str, tuple[str, int]] = {
    "outer": ("outer UDP checksum wrong", OUTER_L4),
    "inner": ("inner checksum wrong, the outer one right over it", INNER_L4),
    "inner-zero-outer": ("inner checksum wrong, no outer one", INNER_L4),
    "both": ("outer and inner checksum wrong", OUTER_L4 | INNER_L4),
    "flipped": ("a bit of the payload flipped behind both checksums", OUTER_L4 | INNER_L4),
    "outer-ip": ("outer IPv4 header checksum wrong", OUTER_IP),
    "inner-ip": ("inner IPv4 header checksum wrong, the outer UDP checksum right", INNER_IP),
}
"""Kinds of frames that are wrong, and the layers that are, in the order they are sent."""

REFERENCE = "reference"
"""A right frame that is not IP inside the tunnel, and which no application gets. Where it arrives
and all else is missing, it is not the path that drops the tunnel."""

FRAMES = 400
"""Frames of a burst, at least."""

_FIRST_OUTER_PORT = 0xC000  # as VXLAN's own (RFC 7348, section 5): 49152 and up
_OUTER_PORTS = 0x3000
_SPOIL = 0x5A5A
_SHORTEST = 60
_DESTINATION_OPTIONS = 60
_EXPERIMENTAL = 0x88B5  # an EtherType for local experiments (IEEE 802)
_UNREMARKABLE = ("even", "odd")


@dataclass(frozen=True)
class ReceiveFrame:
    """One frame.

    Attributes:
        frame: All of it, from the outer destination MAC on, without FCS.
        shape: A key of `RIGHT` or `WRONG`, or `REFERENCE`.
        wrong: Names of the layers that are wrong; a frame without any is to be delivered.
        source_port: The inner one. A datagram has one of its own, a segment that of its stream.
        payload: What its application gets, if it is delivered.
        at: TCP: where in its stream the payload is; a stream's wrong segment is its last.
        sequence: TCP: its sequence number.
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
    """The frames of a burst, in rounds of every shape there is for the families and the protocol.

    Of TCP each shape is the second segment of a stream whose first one is unremarkable, so that
    the receiver may merge the two, and must not where the second one is wrong.

    Args:
        outer: From whom to whom the tunnel goes; its port is the tunnel's.
        inner: The same inside it.
        vni: VXLAN network identifier.
        protocol: Of the inner packets, `packet.TCP` or `packet.UDP`.
        fill: Bytes that payloads are taken from.
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
    """Makes the frames; arguments as for `arrivals`."""

    def __init__(self, outer: Path, inner: Path, vni: int, protocol: int, fill: bytes) -> None:
        self._outer = Maker(outer, UDP, b"\0")
        self._inner = Maker(inner, protocol, fill)
        self._vxlan = struct.pack("!II", 0x08000000, vni << 8)  # RFC 7348, section 5
        self._protocol = protocol

    def shapes(self) -> Iterator[str]:
        """The shapes there are, right and wrong ones by turns."""
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
        """The round's frame that is not IP inside."""
        path = self._inner.path
        head = path.destination_mac + path.source_mac + struct.pack("!HI", _EXPERIMENTAL, turn)
        inside = head + bytes(_SHORTEST - len(head))
        return ReceiveFrame(
            bytes(self._around(REFERENCE, inside, turn, turn)), REFERENCE, (), 0, b""
        )

    def make(self, shape: str, turn: int) -> Iterator[ReceiveFrame]:
        """The frame of a shape, with what goes before it in its stream.

        Args:
            shape: Its name.
            turn: Number of the round: sizes change with it.
        """
        if self._protocol == UDP:
            yield self._receive_frame(shape, turn, None)
            return
        first = self._receive_frame(_UNREMARKABLE[turn % 2], turn, None, flags=ACK)
        yield first
        yield self._receive_frame(shape, turn, first)

    def _receive_frame(
        self, shape: str, turn: int, behind: ReceiveFrame | None, flags: int = ACK | PSH
    ) -> ReceiveFrame:
        inner, start, size = self._packet(shape, turn, behind, flags)
        port = int.from_bytes(inner[start : start + 2], "big")
        sequence = int.from_bytes(inner[start + 4 : start + 8], "big")
        payload_at = len(inner) - size
        behind_it = b""
        if shape == "padded":
            behind_it = bytes(max(2, _SHORTEST - len(inner)))
        elif shape == "trailing":
            behind_it = self._inner.payload(1 + turn % 9) + b"\xa5"
        frame = self._around(shape, bytes(inner) + behind_it, port, turn)
        outer_size = len(frame) - len(inner) - len(behind_it)
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
            0 if behind is None else behind.at + len(behind.payload),
            sequence if self._protocol == TCP else 0,
        )

    def _packet(
        self, shape: str, turn: int, behind: ReceiveFrame | None, flags: int
    ) -> tuple[bytearray, int, int]:
        """The frame inside the tunnel, where its L4 header is, and how long its payload."""
        size, options, following = self._size(shape, turn), b"", None
        if shape == "options":
            if self._inner.path.family == 4:
                options = b"\x01" * (4 * (1 + turn % 10))  # NOPs
            else:
                # One PadN option (RFC 8200, section 4.2).
                following = _DESTINATION_OPTIONS
                options = struct.pack("!BBBB", self._protocol, 0, 1, 4) + bytes(4)
        vlans = (turn % 8 << 13,) if shape == "vlan" else ()
        crafted = self._inner.crafted(
            size, flags=flags, options=options, following=following, vlans=vlans
        )
        frame = bytearray(crafted.frame)
        l4 = crafted.l4
        if behind is not None:
            follows = (behind.sequence + len(behind.payload)) & 0xFFFFFFFF
            struct.pack_into("!H", frame, l4, behind.source_port)
            struct.pack_into("!I", frame, l4 + 4, follows)
            # The seed is of the pseudo-header alone, which has neither of them.
        if shape == "computed-0":
            frame[crafted.payload_at : crafted.payload_at + 2] = bytes(2)
            word = -ones_sum(bytes(frame[l4:])) % 65535
            struct.pack_into("!H", frame, crafted.payload_at, word)
        _finish(frame, crafted)
        if shape in ("inner", "inner-zero-outer", "both"):
            _spoil(frame, _field(crafted))
        elif shape == "inner-ip":
            _spoil(frame, crafted.l3 + 10)
        elif shape == "no-inner":
            frame[_field(crafted) : _field(crafted) + 2] = bytes(2)
        return frame, l4, size

    def _size(self, shape: str, turn: int) -> int:
        """Payload bytes. All of TCP's have some: what is empty is not delivered."""
        if shape == "full":
            return self._inner.largest - turn % 2
        if shape == "tiny":
            return turn % 4 if self._protocol == UDP else 1 + turn % 3
        if shape == "padded":
            return 1 + turn % 5  # the shortest TCP segment over IPv4 is one of 54 bytes
        if shape == "computed-0":
            return (8, 65, 1000, 257)[turn % 4]
        if shape == "even":
            return (64, 256, 1000, 18)[turn % 4]
        if shape == "odd":
            return (65, 257, 1001, 19)[turn % 4]
        return (64, 101, 1000, 3, 257, 1001)[turn % 6]

    def _around(self, shape: str, inside: bytes, inner_port: int, turn: int) -> bytearray:
        """The frame on the wire around the one in the tunnel."""
        crafted = self._outer.crafted(self._vxlan + inside, df=False)
        frame = bytearray(crafted.frame)
        # Segments of a stream have one outer flow, as the kernel's have.
        struct.pack_into("!H", frame, crafted.l4, _FIRST_OUTER_PORT + inner_port % _OUTER_PORTS)
        _finish(frame, crafted)
        if shape in ("zero-outer", "inner-zero-outer"):
            frame[crafted.l4 + 6 : crafted.l4 + 8] = bytes(2)
        elif shape in ("outer", "both"):
            _spoil(frame, _field(crafted))
        elif shape == "outer-ip":
            _spoil(frame, crafted.l3 + 10)
        elif shape == "outer-trailing":
            frame += struct.pack("!I", 0xA5000001 + turn)
        return frame


def _field(crafted: CraftedPacket) -> int:
    """Where its L4 checksum is."""
    return crafted.l4 + (6 if crafted.protocol == UDP else 16)


def _finish(frame: bytearray, crafted: CraftedPacket) -> None:
    """Makes the checksum whose field holds the seed, the sum of the pseudo-header."""
    total = ones_sum(bytes(frame[crafted.l4 :]))
    made = udp_checksum(total) if crafted.protocol == UDP else checksum(total)
    struct.pack_into("!H", frame, _field(crafted), made)


def _spoil(frame: bytearray, at: int) -> None:
    """Makes a checksum wrong by every reading: the field is not 0, and not the same number."""
    (right,) = struct.unpack_from("!H", frame, at)
    struct.pack_into("!H", frame, at, right ^ _SPOIL or 0x1234)
