"""Frames of any stack of layers, built byte by byte with right checksums, from a random generator.

Nothing here uses the verifier. Sums are computed by words, and CRC32c bit by bit.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from random import Random

LINKS = (1, 1, 1, 1, 0, 9, 12, 101, 105, 108, 113, 127, 228, 229, 239, 276)
MACS = b"\x02\0\0\0\0\x02\x02\0\0\0\0\x01"


def fold(data: bytes) -> int:
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def csum(data: bytes) -> int:
    return 0xFFFF - fold(data)


def _crc_table() -> list[int]:
    table = []
    for index in range(256):
        value = index
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def pseudo(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    return source + destination + struct.pack(">II", length, protocol)


def put(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + struct.pack(">H", value) + data[at + 2 :]


class Stack:
    """Builds frames; `wrong` makes it break a checksum in one of so many sums."""

    def __init__(self, random: Random, wrong: float = 0.0) -> None:
        self.random = random
        self.wrong = wrong

    def sealed(self, data: bytes, at: int, covered: bytes, *, datagram: bool = False) -> bytes:
        """Returns the bytes with a right checksum, or sometimes a wrong one."""
        value = csum(covered)
        if datagram and not value:
            value = 0xFFFF
        if self.random.random() < self.wrong:
            head = covered[: len(covered) - len(data)]
            value = self.random.choice([value ^ 0x0100, fold(head) or 1, 0, value ^ 1, fold(head)])
        return put(data, at, value)

    # -- IP ------------------------------------------------------------------------------------

    def ip(self, depth: int, family: int | None = None) -> bytes:
        random = self.random
        family = family or random.choice([4, 4, 6])
        width = 4 if family == 4 else 16
        first = b"\x0a" if family == 4 else b"\xfd"
        source, target = (first + random.randbytes(width - 1) for _ in range(2))
        protocol, payload = self.above(depth, family, source, target)
        return (
            self.ipv4(protocol, payload, source, target)
            if family == 4
            else self.ipv6(protocol, payload, source, target)
        )

    def ipv4(self, protocol: int, payload: bytes, source: bytes, target: bytes) -> bytes:
        options = b"\1" * self.random.choice([0, 0, 0, 0, 4, 8])
        size = 20 + len(options)
        head = struct.pack(
            ">BBHHHBBH", 0x40 | size // 4, 0, size + len(payload), self.random.randrange(65536),
            self.random.choice([0, 0x4000]), 64, protocol, 0,
        ) + source + target + options  # fmt: skip
        return self.sealed(head, 10, head) + payload

    def ipv6(self, protocol: int, payload: bytes, source: bytes, target: bytes) -> bytes:
        if self.random.random() < 0.1:
            payload = bytes([protocol, 0, 1, 4, 0, 0, 0, 0]) + payload
            protocol = 60
        head = struct.pack(">IHBB", 6 << 28, len(payload), protocol, 64)
        return head + source + target + payload

    def above(self, depth: int, family: int, source: bytes, target: bytes) -> tuple[int, bytes]:
        random = self.random
        plain: list[Callable[..., tuple[int, bytes]]] = [
            self.tcp, self.tcp, self.udp, self.udp, self.icmp, self.udp_lite, self.sctp, self.dccp,
        ]  # fmt: skip
        if family == 4:
            plain.append(self.igmp)
        if depth <= 0 or random.random() < 0.3:
            return random.choice(plain)(source, target)
        return random.choice(
            [self.tunnel, self.tunnel, self.tunnel, self.gre, self.gre, self.in_ip]
        )(depth, source, target)

    def payload(self) -> bytes:
        return self.random.randbytes(self.random.choice([0, 1, 2, 5, 20, 41, 99, 200]))

    def tcp(self, source: bytes, target: bytes) -> tuple[int, bytes]:
        r = self.random
        head = struct.pack(
            ">HHIIBBHHH",
            40000 + r.randrange(1000),
            80,
            r.randrange(1 << 32),
            1,
            0x50,
            0x18,
            512,
            0,
            0,
        )
        data = head + self.payload()
        return 6, self.sealed(data, 16, pseudo(source, target, 6, len(data)) + data)

    def udp(
        self, source: bytes, target: bytes, port: int | None = None, body: bytes | None = None
    ) -> tuple[int, bytes]:
        r = self.random
        # Port 9 is discard's: no other tool reads more into the payload.
        body = b"\xff" + self.payload() if body is None else body
        data = struct.pack(">HHHH", 50000 + r.randrange(1000), port or 9, 8 + len(body), 0) + body
        empty = r.random() < (0.5 if port else 0.1) and (len(source) == 4 or port)
        if empty:
            return 17, data
        return 17, self.sealed(data, 6, pseudo(source, target, 17, len(data)) + data, datagram=True)

    def icmp(self, source: bytes, target: bytes) -> tuple[int, bytes]:
        ident = struct.pack(">HH", self.random.randrange(65536), 1)
        if len(source) == 4:
            data = b"\x08\0\0\0" + ident + self.payload()
            return 1, self.sealed(data, 2, data)
        data = b"\x80\0\0\0" + ident + self.payload()
        return 58, self.sealed(data, 2, pseudo(source, target, 58, len(data)) + data)

    def igmp(self, *_: bytes) -> tuple[int, bytes]:
        data = b"\x16\0\0\0\xef" + self.random.randbytes(3)
        return 2, self.sealed(data, 2, data)

    def udp_lite(self, source: bytes, target: bytes) -> tuple[int, bytes]:
        body = self.payload()
        coverage = self.random.choice([0, 8, 8 + len(body), 8 + len(body) // 2])
        data = struct.pack(">HHHH", 40000, 9, coverage, 0) + body
        covered = pseudo(source, target, 136, len(data)) + data[: coverage or len(data)]
        value = csum(covered) or 0xFFFF
        if self.random.random() < self.wrong:
            value ^= 0x0101
        return 136, put(data, 6, value)

    def sctp(self, *_: bytes) -> tuple[int, bytes]:
        body = self.random.randbytes(4 * self.random.randrange(1, 9))
        chunk = struct.pack(">BBHIHHI", 0, 3, 16 + len(body), 1, 1, 1, 0) + body
        data = struct.pack(">HHII", 5000, 5001, 0xDEADBEEF, 0) + chunk
        value = crc32c(data)
        if self.random.random() < self.wrong:
            value = self.random.choice([0, value ^ 1])
        return 132, data[:8] + struct.pack("<I", value) + data[12:]

    def dccp(self, source: bytes, target: bytes) -> tuple[int, bytes]:
        body = self.payload()
        covers = self.random.choice([0, 0, 1])
        # DCCP-Data with 48-bit sequence numbers (X = 1): 16 bytes
        data = struct.pack(">HHBBHBBHI", 40000, 9, 4, covers, 0, 2 << 1 | 1, 0, 0, 7) + body
        covered = pseudo(source, target, 33, len(data)) + data[: 16 if covers else len(data)]
        value = csum(covered)
        if self.random.random() < self.wrong:
            value ^= 0x0100
        return 33, put(data, 6, value)

    # -- tunnels -------------------------------------------------------------------------------

    def tunnel(self, depth: int, source: bytes, target: bytes) -> tuple[int, bytes]:
        random, inner = self.random, depth - 1
        vni = struct.pack(">I", random.randrange(1 << 24) << 8)
        kind = random.choice(
            ["vxlan", "vxlan", "vxlan", "other", "gpe", "geneve", "gtp", "mpls", "gue"]
        )
        if kind == "vxlan":
            port, body = 4789, b"\x08\0\0\0" + vni + self.ethernet(inner)
        elif kind == "other":
            port, body = 8472, b"\x08\0\0\0" + vni + self.ethernet(inner)
        elif kind == "gpe":
            family = random.choice([4, 6])
            port = 4790
            body = bytes([0x0C, 0, 0, 1 if family == 4 else 2]) + vni + self.ip(inner, family)
        elif kind == "geneve":
            words = random.randrange(3)
            options = (b"\1\2\x80\1" + bytes(4))[: 8 * (words > 0)]
            port = 6081
            body = (
                bytes([len(options) // 4, 0]) + b"\x65\x58" + vni + options + self.ethernet(inner)
            )
        elif kind == "gtp":
            packet = self.ip(inner)
            port, body = 2152, struct.pack(">BBHI", 0x30, 255, len(packet), 5) + packet
        elif kind == "gue":
            family = random.choice([4, 6])
            body = bytes([0, 4 if family == 4 else 41, 0, 0]) + self.ip(inner, family)
            port = 6080
        else:
            port, body = 6635, b"\0\x01\x01\x40" + self.ip(inner)
        return self.udp(source, target, port, body)

    def gre(self, depth: int, *_: bytes) -> tuple[int, bytes]:
        random = self.random
        flags = 0
        fields = b""
        checked = random.random() < 0.5
        if checked:
            flags |= 0x8000
            fields += bytes(4)
        if random.random() < 0.4:
            flags |= 0x2000
            fields += struct.pack(">I", random.randrange(1 << 32))
        kind = random.choice([0x0800, 0x86DD, 0x6558, 0x88BE])
        if kind == 0x88BE:
            flags |= 0x1000
            fields += bytes(4)
            inside = b"\x10\0\0\0\0\0\0\0" + self.ethernet(depth - 1)
        elif kind == 0x6558:
            inside = self.ethernet(depth - 1)
        else:
            inside = self.ip(depth - 1, 4 if kind == 0x0800 else 6)
        data = struct.pack(">HH", flags, kind) + fields + inside
        return 47, self.sealed(data, 4, data) if checked else data

    def in_ip(self, depth: int, *_: bytes) -> tuple[int, bytes]:
        family = self.random.choice([4, 6])
        return (4 if family == 4 else 41), self.ip(depth - 1, family)

    # -- below IP ------------------------------------------------------------------------------

    def typed(self, depth: int) -> tuple[int, bytes]:
        """Returns an EtherType and what it announces."""
        random = self.random
        choice = random.random()
        family = random.choice([4, 4, 6])
        kind, data = (0x0800 if family == 4 else 0x86DD), self.ip(depth, family)
        if choice < 0.7:
            return kind, data
        if choice < 0.78:
            return 0x8100, struct.pack(">HH", 100, kind) + data
        if choice < 0.82:
            return 0x88A8, struct.pack(">HHHH", 100, 0x8100, 7, kind) + data
        if choice < 0.88:
            labels = b"".join(struct.pack(">I", 0x10040) for _ in range(random.randrange(2)))
            return 0x8847, labels + struct.pack(">I", 0x10140) + data
        if choice < 0.94:
            inside = struct.pack(">H", 0x21 if family == 4 else 0x57) + data
            return 0x8864, struct.pack(">BBHH", 0x11, 0, 1, len(inside)) + inside
        if choice < 0.97:
            return 0x88E7, b"\0\0\0\x2a" + MACS + struct.pack(">H", kind) + data
        snap = b"\xaa\xaa\x03\0\0\0" + struct.pack(">H", kind) + data
        return (len(snap), snap) if len(snap) <= 1500 else (kind, data)

    def ethernet(self, depth: int) -> bytes:
        if self.random.random() < 0.8:  # mostly plain
            family = self.random.choice([4, 4, 6])
            return MACS + (b"\x08\0" if family == 4 else b"\x86\xdd") + self.ip(depth, family)
        kind, data = self.typed(depth)
        return MACS + struct.pack(">H", kind) + data

    def frame(self, depth: int = 3, links: tuple[int, ...] | None = None) -> tuple[int, bytes]:
        """Returns a link type and a frame."""
        random = self.random
        link = random.choice(links or LINKS)
        if link == 1:
            kind, data = self.typed(depth)
            return 1, MACS + struct.pack(">H", kind) + data
        family = {228: 4, 229: 6}.get(link) or random.choice([4, 6])
        data = self.ip(depth, family)
        kind = 0x0800 if family == 4 else 0x86DD
        head = {
            0: struct.pack(
                random.choice("<>") + "I", 2 if family == 4 else random.choice([24, 28, 30])
            ),
            108: struct.pack(">I", 2 if family == 4 else 24),
            9: b"\xff\x03" + struct.pack(">H", 0x21 if family == 4 else 0x57),
            113: struct.pack(">HHH8sH", random.choice([0, 4]), 1, 6, bytes(8), kind),
            276: struct.pack(">HHIHBB8s", kind, 0, 1, 1, random.choice([0, 4]), 6, bytes(8)),
            239: bytes([2 if family == 4 else 10, 0, 0, 0]) + struct.pack("<HH", len(data) + 4, 9),
            105: b"\x08\x01\0\0" + bytes(20) + b"\xaa\xaa\x03\0\0\0" + struct.pack(">H", kind),
            127: b"\0\0\x08\0\0\0\0\0\x88\x01\0\0" + bytes(22) + b"\xaa\xaa\x03\0\0\0"
            + struct.pack(">H", kind),
        }.get(link, b"")  # fmt: skip
        return link, head + data


def mutated(random: Random, frame: bytes) -> tuple[bytes, int]:
    """Returns a frame with some bytes changed, cut or cut off, and its length on the wire."""
    data = bytearray(frame)
    for _ in range(random.choice([0, 1, 1, 2, 4])):
        if data:
            at = (
                random.randrange(len(data))
                if random.random() < 0.5
                else random.randrange(min(len(data), 100))
            )
            data[at] = random.choice(
                [0, 0xFF, random.randrange(256), data[at] ^ 1 << random.randrange(8)]
            )
    wire = len(data)
    if random.random() < 0.3:
        data = data[: random.randrange(len(data) + 1)]
        wire = random.choice([wire, len(data), len(data)])
    return bytes(data), wire
