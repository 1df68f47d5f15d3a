"""Right frames of any shape for hypothesis, built byte by byte, and the right result for each.

Nothing here uses the verifier: the place of every field is known from building the frame, and sums
are computed by words. So both must agree, whatever the shape.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from random import Random

from hypothesis import strategies as st

OUTER_IP, OUTER_L4, VXLAN, INNER_IP, INNER_L4 = 1, 2, 4, 8, 16
ICMP, TCP, UDP, ICMPV6 = 1, 6, 17, 58
FIELD = {TCP: 16, UDP: 6, ICMP: 2, ICMPV6: 2}
TUNNEL_PORT = 4789


def folded(data: bytes) -> int:
    """Returns the one's complement sum by words: 0xffff if right, 0 only if all bytes are zero."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@dataclass(frozen=True)
class Part:
    """One IP packet of a frame, by its offsets.

    Attributes:
        family: 4 or 6.
        start: Offset of the IP header.
        l4: Offset of the L4 header, behind options and extension headers.
        end: Offset of the end of the packet.
        protocol: IP protocol number of L4.
        shift: Left shift from the bits of the outer layers to those of this packet's.
        tunnel: Whether it carries VXLAN.
    """

    family: int
    start: int
    l4: int
    end: int
    protocol: int
    shift: int
    tunnel: bool

    @property
    def field(self) -> int:
        """Offset of the L4 checksum field."""
        return self.l4 + FIELD[self.protocol]

    @property
    def length(self) -> int:
        """Offset of the IP length field."""
        return self.start + (2 if self.family == 4 else 4)

    @property
    def steering(self) -> set[int]:
        """Offsets of bytes that determine the layout: a change to one makes it another packet."""
        start = self.start
        if self.family == 4:
            found = {start, start + 2, start + 3, start + 6, start + 7, start + 9}
        else:
            found = {start, start + 4, start + 5, start + 6, *range(start + 40, self.l4)}
        if self.protocol == UDP:
            found |= {self.l4 + 4, self.l4 + 5}
        if self.tunnel:
            found |= {self.l4 + 2, self.l4 + 3}
        return found

    def covered(self, data: bytes, l4_length: int | None = None) -> bytes:
        """Returns the bytes that the L4 checksum covers, pseudo-header first."""
        size = self.end - self.l4 if l4_length is None else l4_length
        l4 = data[self.l4 : self.l4 + size]
        if self.protocol == ICMP:
            return l4
        at, width = (12, 8) if self.family == 4 else (8, 32)
        addresses = data[self.start + at : self.start + at + width]
        return addresses + struct.pack(">II", size, self.protocol) + l4

    def right_field(self, data: bytes) -> int:
        """Returns the right L4 checksum."""
        blank = bytearray(data)
        blank[self.field : self.field + 2] = b"\0\0"
        covered = self.covered(bytes(blank))
        value = 0xFFFF - folded(covered)
        return (value or 0xFFFF) if self.protocol == UDP else value

    def judge(self, data: bytes) -> dict[int, str]:
        """Returns the right result for each of its layers; the layout must be unchanged."""
        found = {}
        if self.family == 4:
            right = folded(data[self.start : self.l4]) == 0xFFFF
            found[OUTER_IP << self.shift] = "good" if right else "bad"
        empty = data[self.field : self.field + 2] == b"\0\0"
        bit = OUTER_L4 << self.shift
        if self.protocol == UDP and empty and (self.tunnel or self.family == 4):
            found[bit] = "absent"
        else:
            right = folded(self.covered(data)) == 0xFFFF and not (self.protocol == UDP and empty)
            found[bit] = "good" if right else "bad"
        return found


@dataclass(frozen=True)
class Frame:
    """A right frame and its layout.

    Attributes:
        data: The bytes.
        outer: The packet on the wire.
        inner: The inner packet, if there is a tunnel.
        vxlan: Offset of the VXLAN header.
        outer_types: Offsets of the outer EtherType and tag types.
        inner_types: Offsets of the inner EtherType and tag types.
    """

    data: bytes
    outer: Part
    inner: Part | None
    vxlan: int | None
    outer_types: frozenset[int]
    inner_types: frozenset[int]

    @property
    def parts(self) -> tuple[Part, ...]:
        return (self.outer,) if self.inner is None else (self.outer, self.inner)

    def judge(self, data: bytes) -> dict[int, str]:
        """Returns the right result for each layer of bytes with the same layout."""
        found = {bit: state for part in self.parts for bit, state in part.judge(data).items()}
        if self.vxlan is not None:
            found[VXLAN] = "good" if data[self.vxlan] & 8 else "bad"
        return found

    def resealed(self, data: bytes) -> bytes:
        """Returns the bytes with a right outer checksum, if the frame has one."""
        whole = bytearray(data)
        at = self.outer.field
        if self.inner is not None and self.data[at : at + 2] != b"\0\0":
            whole[at : at + 2] = struct.pack(">H", self.outer.right_field(data))
        return bytes(whole)


def with_word(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + struct.pack(">H", value) + data[at + 2 :]


def with_header_sum(data: bytes, part: Part) -> bytes:
    """Returns the bytes with a right IPv4 header checksum."""
    if part.family == 6:
        return data
    blank = with_word(data, part.start + 10, 0)
    return with_word(blank, part.start + 10, 0xFFFF - folded(blank[part.start : part.l4]))


# -- Building ------------------------------------------------------------------------------------

_SIZED = st.builds(
    lambda size, seed: Random(seed).randbytes(size), st.integers(0, 1400), st.integers(0, 1 << 16)
)
payloads = st.binary(max_size=12) | _SIZED | st.integers(0, 40).map(bytes)
_words = st.integers(0, 0xFFFF)
_tags = st.lists(st.tuples(st.sampled_from([0x8100, 0x88A8, 0x9100]), _words), max_size=2)
_options = st.integers(0, 10).flatmap(
    lambda words: st.binary(min_size=4 * words, max_size=4 * words)
)


@st.composite
def _extension(draw) -> tuple[int, bytes]:
    """Returns an extension header without its first byte.

    It is one of hop-by-hop or destination options with padding, a routing header without segments
    left, an atomic fragment header, or an authentication header.
    """
    kind = draw(st.sampled_from([60, 43, 44, 51]))
    if kind == 44:
        return 44, struct.pack(">BHI", 0, 0, draw(st.integers(0, 2**32 - 1)))
    units = draw(st.integers(0, 2))
    size = 8 * units + 6
    if kind == 43:
        return 43, struct.pack(">BBB", units, draw(st.sampled_from([2, 4])), 0) + draw(
            st.binary(min_size=size - 2, max_size=size - 2)
        )
    if kind == 51:  # an integrity value of 12 bytes, in 24
        return 51, b"\4\0\0" + draw(st.binary(min_size=20, max_size=20))
    return 60, bytes([units, 1, size - 2]) + bytes(size - 2)


def _ethernet(draw, family: int) -> tuple[bytes, list[int]]:
    data = draw(st.binary(min_size=12, max_size=12))
    types = []
    for kind, tag in draw(_tags):
        types.append(len(data))
        data += struct.pack(">HH", kind, tag)
    types.append(len(data))
    return data + (b"\x08\x00" if family == 4 else b"\x86\xdd"), types


def _ip(draw, family: int, protocol: int, l4: bytes) -> tuple[bytes, int]:
    """Returns an IP packet without its checksum, and the length of its headers."""
    if family == 4:
        options = draw(_options)
        size = 20 + len(options)
        flags = draw(st.sampled_from([0, 0x4000]))
        head = struct.pack(
            ">BBHHHBBH", 0x40 | size // 4, draw(st.integers(0, 255)), size + len(l4),
            draw(_words), flags, draw(st.integers(0, 255)), protocol, 0,
        )  # fmt: skip
        return head + draw(st.binary(min_size=8, max_size=8)) + options + l4, size
    chain = draw(st.lists(_extension(), max_size=2))
    if draw(st.booleans()) and draw(st.booleans()):
        chain.insert(0, (0, b"\0\1\4\0\0\0\0"))
    kinds = [kind for kind, _ in chain] + [protocol]
    extensions = b"".join(
        bytes([after]) + rest for (_, rest), after in zip(chain, kinds[1:], strict=True)
    )
    head = struct.pack(
        ">IHBB", 6 << 28 | draw(st.integers(0, (1 << 28) - 1)), len(extensions) + len(l4),
        kinds[0], draw(st.integers(0, 255)),
    )  # fmt: skip
    addresses = draw(st.binary(min_size=32, max_size=32))
    return head + addresses + extensions + l4, 40 + len(extensions)


def _l4(draw, protocol: int, payload: bytes) -> bytes:
    """Returns a datagram, segment or message whose checksum field is 0."""
    port = st.integers(0, 0xFFFF).filter(lambda number: number != TUNNEL_PORT)
    if protocol == UDP:
        return struct.pack(">HHHH", draw(_words), draw(port), 8 + len(payload), 0) + payload
    if protocol == TCP:
        options = draw(_options)
        return (
            struct.pack(">HH", draw(_words), draw(_words))
            + draw(st.binary(min_size=8, max_size=8))
            + bytes([(5 + len(options) // 4) << 4, draw(st.integers(0, 255))])
            + struct.pack(">HHH", draw(_words), 0, draw(_words))
            + options
            + payload
        )
    return bytes([draw(st.integers(0, 255)), 0, 0, 0]) + draw(
        st.binary(min_size=4, max_size=4)
    ) + payload  # fmt: skip


def _protocol(draw, family: int) -> int:
    return draw(st.sampled_from([TCP, UDP, TCP, UDP, ICMP if family == 4 else ICMPV6]))


def _summed(draw, data: bytes, part: Part, *, empty: bool) -> bytes:
    """Returns the bytes with checksums; sometimes L4's is 0, which UDP sends as 0xffff."""
    data = with_header_sum(data, part)
    if empty:
        return data
    if draw(st.integers(0, 2)) == 0:
        at = part.l4 + (
            4 if part.protocol in (ICMP, ICMPV6) else 0
        )  # the ICMP id, or the source port
        (word,) = struct.unpack_from(">H", data, at)
        total = word + part.right_field(data)
        data = with_word(data, at, (total & 0xFFFF) + (total >> 16))
    return with_word(data, part.field, part.right_field(data))


def _packet(draw, at: int, l4: bytes, protocol: int, family: int, shift: int) -> tuple[bytes, Part]:
    """Returns a packet to be placed at an offset, and its parts there."""
    data, size = _ip(draw, family, protocol, l4)
    part = Part(family, at, at + size, at + len(data), protocol, shift, tunnel=shift == 0)
    return data, part


def _both_bytes(words: Iterable[int]) -> frozenset[int]:
    return frozenset(at + side for at in words for side in (0, 1))


@st.composite
def frames(draw) -> Frame:
    """Returns a right frame, plain or in a tunnel, of a shape that is judged in full."""
    family = draw(st.sampled_from([4, 6]))
    ethernet, types = _ethernet(draw, family)
    start = len(ethernet)
    padding = draw(st.binary(max_size=46))
    if draw(st.integers(0, 4)) == 0:
        protocol = _protocol(draw, family)
        l4 = _l4(draw, protocol, draw(payloads))
        data, made = _packet(draw, start, l4, protocol, family, 0)
        part = replace(made, tunnel=False)
        empty = protocol == UDP and family == 4 and draw(st.booleans())
        whole = _summed(draw, ethernet + data, part, empty=empty)
        return Frame(whole + padding, part, None, None, _both_bytes(types), frozenset())

    inner_family = draw(st.sampled_from([4, 6]))
    inner_ethernet, inner_types = _ethernet(draw, inner_family)
    protocol = _protocol(draw, inner_family)
    packet, made = _packet(
        draw, len(inner_ethernet), _l4(draw, protocol, draw(payloads)), protocol, inner_family, 3
    )
    empty = protocol == UDP and inner_family == 4 and draw(st.integers(0, 3)) == 0
    inside = _summed(draw, inner_ethernet + packet, made, empty=empty) + draw(st.binary(max_size=9))
    vxlan = bytes([8 | draw(st.sampled_from([0, 0xF7]))]) + draw(st.binary(min_size=7, max_size=7))
    udp = struct.pack(">HHHH", draw(_words), TUNNEL_PORT, 16 + len(inside), 0) + vxlan + inside
    data, outer = _packet(draw, start, udp, UDP, family, 0)
    shift = outer.l4 + 16
    inner = replace(made, start=made.start + shift, l4=made.l4 + shift, end=made.end + shift)
    whole = _summed(draw, ethernet + data, outer, empty=draw(st.booleans()))
    return Frame(
        whole + padding,
        outer,
        inner,
        outer.l4 + 8,
        _both_bytes(types),
        _both_bytes(at + shift for at in inner_types),
    )
