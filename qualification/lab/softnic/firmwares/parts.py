"""What firmwares need for most faults: where a checksum is, and how it is computed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from struct import Struct

from qualification.lab.softnic.tx_descriptor import GSO_NONE, TxDescriptor
from qualification.wire.checksum import checksum, ones_sum, pseudo_sum, udp_checksum
from qualification.wire.dissect import dissect
from qualification.wire.packet import Packet

U16 = Struct("!H")
TCP, UDP = 6, 17
UDP_LENGTH = 4
_FIELD = {UDP: 6, TCP: 16}
_VXLAN_SIZE, _ETHERNET_SIZE = 8, 14
_VXLAN_FLAGS = b"\x08\x00\x00\x00"  # I set, all else reserved (RFC 7348 section 5)


@dataclass(frozen=True, slots=True)
class Layer:
    """An IP header and the UDP or TCP header behind it, the same in every frame of a descriptor.

    Offsets are in bytes from the frame's start.

    Attributes:
        family: 4 or 6.
        l3: Offset of the IP header.
        l4: Offset of the UDP or TCP header.
        protocol: UDP or TCP.
        field: Offset of the UDP or TCP checksum.
        asked: Whether the kernel leaves that checksum to the NIC.
    """

    family: int
    l3: int
    l4: int
    protocol: int
    field: int
    asked: bool

    def end(self, frame: bytes | bytearray) -> int:
        """Returns the offset of the packet's end by its IP length; a trailer may follow."""
        if self.family == 4:
            return self.l3 + int(U16.unpack_from(frame, self.l3 + 2)[0])
        return self.l3 + 40 + int(U16.unpack_from(frame, self.l3 + 4)[0])

    def read(self, frame: bytes | bytearray) -> int:
        """Returns the checksum."""
        return int(U16.unpack_from(frame, self.field)[0])

    def write(self, frame: bytearray, value: int) -> None:
        """Writes the checksum."""
        U16.pack_into(frame, self.field, value)

    def summed(
        self,
        frame: bytearray,
        *,
        start: int | None = None,
        end: int | None = None,
        length: int | None = None,
        more: bytes = b"",
    ) -> int:
        """Returns the checksum of a frame. Each argument is a way to compute it wrongly.

        Args:
            frame: The frame; its checksum field counts as 0.
            start: Start of the summed range; `l4` is correct.
            end: End of the summed range; the packet's end is correct.
            length: Length in the pseudo-header; that from `l4` to the packet's end is correct.
            more: Bytes that are added to the sum after the range.
        """
        until = self.end(frame)
        if length is None:
            length = until - self.l4
        addresses, width = (self.l3 + 12, 4) if self.family == 4 else (self.l3 + 8, 16)
        covered = bytearray(frame)
        self.write(covered, 0)
        total = ones_sum(
            covered[self.l4 if start is None else start : until if end is None else end] + more
        ) + pseudo_sum(
            bytes(frame[addresses : addresses + width]),
            bytes(frame[addresses + width : addresses + 2 * width]),
            self.protocol,
            length,
        )
        return udp_checksum(total) if self.protocol == UDP else checksum(total)


@dataclass(frozen=True, slots=True)
class Tunnel:
    """The layout of the frames of one descriptor whose packet is in a VXLAN tunnel.

    Attributes:
        outer: The packet on the wire.
        inner: The packet in the tunnel; None if it is neither TCP nor UDP.
        port: UDP destination port of the tunnel.
        vni: VXLAN network identifier.
        ethernet: Offset of the frame in the tunnel.
    """

    outer: Layer
    inner: Layer | None
    port: int
    vni: int
    ethernet: int

    def chosen(self, word: object) -> list[Layer]:
        """Returns the layers that a knob names and whose checksum is left to the NIC, inner first.

        Args:
            word: "inner", "outer" or "both".
        """
        layers = {"inner": (self.inner,), "outer": (self.outer,)}
        both = (self.inner, self.outer)
        return [layer for layer in layers.get(str(word), both) if layer and layer.asked]

    def settle(self, frame: bytearray) -> None:
        """Computes the outer checksum again after a change inside, if it is left to the NIC.

        A NIC that computes both sums what it sends. An outer checksum that the stack has computed
        relies on a correct inner one (Documentation/networking/checksum-offloads.rst, LCO), and
        becomes wrong with it.
        """
        if self.outer.asked:
            self.outer.write(frame, self.outer.summed(frame))


def tunnel_of(descriptor: TxDescriptor, frames: list[bytearray]) -> Tunnel | None:
    """Returns the tunnel that the frames of a descriptor are in, or None.

    The kernel says where it leaves an inner checksum to the NIC. If it leaves only an outer one, as
    for ICMP inside, or none, then a frame is in a tunnel if it looks like VXLAN, on any port.

    Args:
        descriptor: The kernel's descriptor.
        frames: The frames that a correct NIC would send for it.
    """
    if not frames:
        return None
    return tunnel_in(frames[0], descriptor)


def tunnel_in(frame: bytes | bytearray, descriptor: TxDescriptor | None = None) -> Tunnel | None:
    """Returns the tunnel that a frame is in, or None.

    Args:
        frame: The frame.
        descriptor: Its descriptor; without one, a frame is in a tunnel if it looks like VXLAN.
    """
    data = bytes(frame)
    plain = dissect(data, None, frozenset())
    if plain is None or plain.outer.protocol != UDP or plain.outer.destination_port is None:
        return None
    outer, port = plain.outer, plain.outer.destination_port
    inside = descriptor is not None and descriptor.needs_csum and descriptor.csum_start > outer.l4
    vxlan = outer.l4 + 8
    if data[vxlan : vxlan + 4] != _VXLAN_FLAGS and not inside:
        return None
    layout = dissect(data, None, frozenset({port}))
    if layout is None or layout.vni is None:
        return None
    asked, inner_asked = False, False
    if descriptor is not None:
        at = descriptor.csum_start if descriptor.needs_csum else 0
        asked = descriptor.tunnel_csum if descriptor.gso != GSO_NONE else at == outer.l4
        inner_asked = layout.inner is not None and at == layout.inner.l4
    tunnel_sum = _layer(outer, asked)
    assert tunnel_sum
    inner = _layer(layout.inner, inner_asked) if layout.inner else None
    return Tunnel(tunnel_sum, inner, port, layout.vni, vxlan + _VXLAN_SIZE)


def _layer(packet: Packet, asked: bool) -> Layer | None:
    offset = _FIELD.get(packet.protocol)
    if offset is None:
        return None
    field = packet.l4 + offset
    return Layer(packet.family, packet.start, packet.l4, packet.protocol, field, asked)


def garble(frame: bytearray, at: int, rng: random.Random) -> None:
    """Replaces a checksum by a random value that is wrong in every interpretation.

    The new value is never 0, which means "no checksum" in UDP, and never the same one's complement
    number as before: 0x0000 and 0xffff are equal.

    Args:
        frame: The frame; changed in place.
        at: Offset of the checksum, in bytes from the frame's start.
        rng: The source of the value.
    """
    (right,) = U16.unpack_from(frame, at)
    wrong = right
    while wrong == 0 or wrong % 65535 == right % 65535:
        wrong = right ^ rng.randrange(1, 65536)
    U16.pack_into(frame, at, wrong)
