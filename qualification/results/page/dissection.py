"""A frame byte by byte: every header and field, with what is wrong marked and what is right.

Layers are found by `qualification.wire.dissect` and judged by `qualification.wire.verify`; this
module names the fields between the offsets that they give. What else the capture found wrong, such
as a segment with other TCP flags than expected, is taken from its findings.

Sources: IEEE 802.3 and 802.1Q, RFC 791, RFC 8200, RFC 768, RFC 9293, RFC 7348.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_address

from qualification.wire.layers import INNER_IP, INNER_L4, OUTER_IP, OUTER_L4, VXLAN, Checked
from qualification.wire.packet import TCP, UDP, Packet
from qualification.wire.sentences import PROTOCOLS, header_checksum, l4_checksum
from qualification.wire.verify import check

from .evidence_model import PageField, PageFrame, PageSection

_PAYLOAD_SHOWN = 64
"""Bytes of the payload that are shown; it is pseudo-random."""
_SHOULD = re.compile(r"(?P<field>.+?) (?:is|are) (?P<found>\S+), should be (?P<right>\S+)")
_TCP_FLAGS = ("FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR")
_HEX, _NUMBER, _MAC, _ADDRESS, _FLAGS = "hex", "number", "mac", "address", "flags"
_PROTOCOL, _FRAGMENT, _ETHERTYPE = "protocol", "fragment", "ethertype"
_ETHERTYPES = {0x0800: "IPv4", 0x0806: "ARP", 0x86DD: "IPv6"}

_Spec = tuple[int, int, str, str]
"""First byte, byte behind the last, name, format. The names are those of the findings
(`qualification.wire.crafted.difference`)."""

_ETHERNET: tuple[_Spec, ...] = (
    (0, 6, "destination MAC", _MAC),
    (6, 12, "source MAC", _MAC),
)
_IPV4: tuple[_Spec, ...] = (
    (0, 1, "version and header length", _HEX),
    (1, 2, "DSCP and ECN", _HEX),
    (2, 4, "total length", _NUMBER),
    (4, 6, "identification", _HEX),
    (6, 8, "DF and fragment offset", _FRAGMENT),
    (8, 9, "TTL", _NUMBER),
    (9, 10, "protocol", _PROTOCOL),
    (10, 12, "header checksum", _HEX),
    (12, 16, "source address", _ADDRESS),
    (16, 20, "destination address", _ADDRESS),
)
_IPV6: tuple[_Spec, ...] = (
    (0, 4, "traffic class and flow label", _HEX),
    (4, 6, "payload length", _NUMBER),
    (6, 7, "next header", _PROTOCOL),
    (7, 8, "hop limit", _NUMBER),
    (8, 24, "source address", _ADDRESS),
    (24, 40, "destination address", _ADDRESS),
)
_UDP: tuple[_Spec, ...] = (
    (0, 2, "source port", _NUMBER),
    (2, 4, "destination port", _NUMBER),
    (4, 6, "length", _NUMBER),
    (6, 8, "checksum", _HEX),
)
_TCP: tuple[_Spec, ...] = (
    (0, 2, "source port", _NUMBER),
    (2, 4, "destination port", _NUMBER),
    (4, 8, "sequence number", _NUMBER),
    (8, 12, "acknowledgment number", _NUMBER),
    (12, 13, "data offset", _HEX),
    (13, 14, "flags", _FLAGS),
    (14, 16, "window", _NUMBER),
    (16, 18, "checksum", _HEX),
    (18, 20, "urgent pointer", _NUMBER),
)
_VXLAN: tuple[_Spec, ...] = (
    (0, 1, "flags", _HEX),
    (1, 4, "reserved", _HEX),
    (4, 7, "VNI", _NUMBER),
    (7, 8, "reserved", _HEX),
)


def dissected(
    data: bytes, findings: Sequence[str], port: int, wire_length: int | None = None
) -> PageFrame:
    """Returns a frame with its parts and fields. Never raises, whatever the bytes.

    Args:
        data: The bytes captured, from the destination MAC on.
        findings: What the capture found wrong with it, in sentences.
        port: The UDP port of the tunnel; 0 for plain traffic.
        wire_length: Its length on the wire; by default, the bytes captured.
    """
    made = _Dissection(data, check(data, wire_length, frozenset({port} if port else ())))
    sections = _with_findings(list(made.sections()), findings)
    shown = min(len(data), made.payload + _PAYLOAD_SHOWN)
    return PageFrame(data[:shown].hex(), wire_length or len(data), tuple(findings), tuple(sections))


@dataclass
class _Dissection:
    """Names the parts of one frame; `payload` is where its innermost payload begins."""

    data: bytes
    checked: Checked
    payload: int = field(default=0)

    def sections(self) -> Iterator[PageSection]:
        layout = self.checked.layout
        if layout is None:
            self.payload = min(14, len(self.data))
            yield self._ethernet("Ethernet", 0, self.payload)
            yield from self._rest(self.payload, len(self.data), len(self.data))
            return
        tunnel = layout.vxlan is not None
        side = "outer " if tunnel else ""
        yield self._ethernet("Ethernet", 0, layout.outer.start)
        yield from self._packet(layout.outer, side, OUTER_IP, OUTER_L4)
        innermost = layout.outer
        if layout.vxlan is not None:
            end = min(layout.vxlan + 8, len(self.data))
            self.payload = end
            state = self.checked.state(VXLAN) or ""
            yield PageSection("VXLAN", layout.vxlan, end, state, self._fields(_VXLAN, layout.vxlan))
            if layout.inner is not None:
                innermost = layout.inner
                yield self._ethernet("inner Ethernet", end, innermost.start)
                yield from self._packet(innermost, "inner ", INNER_IP, INNER_L4)
        yield from self._rest(self.payload, innermost.end, len(self.data))

    def _packet(self, packet: Packet, side: str, ip: int, l4: int) -> Iterator[PageSection]:
        """Yields the IP header and the header behind it, as far as they can be read."""
        fixed = _IPV4 if packet.family == 4 else _IPV6
        headless = packet.l4 == packet.start
        end = min(len(self.data), packet.start + fixed[-1][1] if headless else packet.l4)
        fields = self._fields(fixed, packet.start)
        options = packet.start + fixed[-1][1]
        if end > options:
            name = "options" if packet.family == 4 else "extension headers"
            fields = (*fields, self._field(name, options, end, _HEX))
        bad_sum = self.checked.state(ip) == "bad" and not headless and packet.trouble != "length"
        if bad_sum and packet.family == 4:
            fields = _marked(fields, "header checksum", *header_checksum(self.data, packet))
        state = self.checked.state(ip) or ""
        yield PageSection(f"{side}IPv{packet.family}", packet.start, end, state, fields)
        self.payload = end
        if headless:
            return
        header = self._l4_end(packet)
        spec = {UDP: _UDP, TCP: _TCP}.get(packet.protocol, ())
        fields = self._fields(spec, packet.l4)
        if packet.protocol == TCP and header > packet.l4 + 20:
            fields = (*fields, self._field("options", packet.l4 + 20, header, _HEX))
        state = self.checked.state(l4) or ""
        complete = packet.checksum is not None and packet.end <= len(self.data)
        if state == "bad" and packet.trouble != "l4-length" and complete:
            fields = _marked(fields, "checksum", *l4_checksum(self.data, packet))
        name = PROTOCOLS.get(packet.protocol, f"IP protocol {packet.protocol}")
        yield PageSection(f"{side}{name}", packet.l4, header, state, fields)
        self.payload = header

    def _l4_end(self, packet: Packet) -> int:
        """Returns where the L4 header ends, within the bytes captured."""
        size = 8
        if packet.protocol == TCP:
            words = self.data[packet.l4 + 12] >> 4 if packet.l4 + 12 < len(self.data) else 5
            size = max(20, words * 4)
        return min(packet.l4 + size, len(self.data), max(packet.end, packet.l4))

    def _ethernet(self, name: str, start: int, end: int) -> PageSection:
        fields = list(self._fields(_ETHERNET, start))
        at = start + 12
        while at + 6 <= end:
            fields.append(self._field("VLAN tag", at, at + 4, _HEX))
            at += 4
        if at + 2 <= min(end, len(self.data)):
            fields.append(self._field("EtherType", at, at + 2, _ETHERTYPE))
        return PageSection(name, start, end, "", tuple(fields))

    def _rest(self, start: int, end: int, length: int) -> Iterator[PageSection]:
        """Yields the payload, and the bytes behind the packet."""
        end = max(start, min(end, length))
        if end > start:
            yield PageSection("payload", start, end)
        if length > end:
            yield PageSection("behind the packet", end, length)

    def _fields(self, spec: Sequence[_Spec], start: int) -> tuple[PageField, ...]:
        return tuple(
            self._field(name, start + first, start + end, kind)
            for first, end, name, kind in spec
            if start + end <= len(self.data)
        )

    def _field(self, name: str, start: int, end: int, kind: str) -> PageField:
        return PageField(name, start, end, _text(self.data[start:end], kind))


def _text(value: bytes, kind: str) -> str:
    number = int.from_bytes(value, "big")
    if kind == _MAC:
        return value.hex(":")
    if kind == _ADDRESS:
        return str(ip_address(value))
    name = ""
    if kind == _FLAGS:
        name = " ".join(flag for bit, flag in enumerate(_TCP_FLAGS) if number >> bit & 1)
    elif kind == _FRAGMENT:
        name = "DF" if number == 0x4000 else ""
    elif kind == _PROTOCOL:
        name = PROTOCOLS.get(number, "")
    elif kind == _ETHERTYPE:
        name = _ETHERTYPES.get(number, "")
    plain = str(number) if kind in (_NUMBER, _PROTOCOL) else f"0x{value.hex()}"
    return f"{plain} {name}".rstrip()


def _marked(
    fields: Sequence[PageField], name: str, found: int, expected: int
) -> tuple[PageField, ...]:
    """Returns the fields with the right value at the checksum of that name."""
    if found == expected:
        return tuple(fields)
    right = f"0x{expected:04x}"
    return tuple(replace(one, should=right) if one.name == name else one for one in fields)


def _with_findings(sections: list[PageSection], findings: Sequence[str]) -> list[PageSection]:
    """Marks the fields that findings name, such as "TCP flags are 0x18, should be 0x10".

    Those of a crafted packet set name no side: it is made of what is innermost.
    """
    for finding in findings:
        match = _SHOULD.fullmatch(finding)
        if match is None:
            continue
        for index, section in reversed(list(enumerate(sections))):
            at = _named(section, match["field"])
            if at is not None:
                fields = list(section.fields)
                if not fields[at].should:
                    fields[at] = replace(fields[at], should=match["right"])
                sections[index] = replace(section, state="bad", fields=tuple(fields))
                break
    return sections


def _named(section: PageSection, name: str) -> int | None:
    """Returns the place of the field that a finding names; None if the section has none."""
    for prefix in (section.name, section.name.split(" ")[-1], section.name.split(" ")[0]):
        for at, one in enumerate(section.fields):
            if name == f"{prefix} {one.name}":
                return at
    return None
