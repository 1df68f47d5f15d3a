"""Signatures: right frames broken in every known way, and what is said of them.

Frames are made by scapy, and their sums by a loop over words: authors of their own.
"""

from __future__ import annotations

import base64
import random
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Dot1Q, Ether
from scapy.layers.vxlan import VXLAN

from qualification.agent.messages import BadFrame
from qualification.judge.signature import Signature, sign
from qualification.lab import firmwares
from qualification.lab.job import GSO_TCP4, Job
from qualification.plan.flows import Flow
from qualification.wire.verify import INNER_L4, LAYERS, OUTER_L4, check

IPS = {
    ("outer", 4): IP(src="192.0.2.1", dst="192.0.2.2"),
    ("outer", 6): IPv6(src="2001:db8:1:2:3:4:5:6", dst="2001:db8:2:3:4:5:6:7"),
    ("inner", 4): IP(src="10.244.1.7", dst="10.244.2.9"),
    ("inner", 6): IPv6(src="fd00:9:8:7:6:5:4:3", dst="fd00:1:2:3:4:5:6:9"),
}
LINK = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
MSS = 1000


@dataclass(frozen=True)
class Shape:
    outer: int = 4
    inner: int = 4
    l4: str = "tcp"
    vlan: bool = False
    asked: bool = True

    @property
    def flow(self) -> Flow:
        return Flow(self.outer, self.asked, self.inner, self.l4, True)  # type: ignore[arg-type]

    @property
    def heads(self) -> tuple[int, int, int, int, int]:
        """Offsets of outer IP, outer UDP, inner IP, inner L4 and payload."""
        ip = 18 if self.vlan else 14
        udp = ip + (20 if self.outer == 4 else 40)
        inner = udp + 8 + 8 + 14
        l4 = inner + (20 if self.inner == 4 else 40)
        return ip, udp, inner, l4, l4 + (20 if self.l4 == "tcp" else 8)

    @property
    def field(self) -> int:
        return self.heads[3] + (16 if self.l4 == "tcp" else 6)


SHAPES = [
    Shape(4, 4, "tcp"),
    Shape(4, 6, "udp", vlan=True),
    Shape(6, 4, "udp"),
    Shape(6, 6, "tcp", vlan=True),
]
NAMES = [f"{s.outer}in{s.inner}-{s.l4}{'-vlan' if s.vlan else ''}" for s in SHAPES]


@cache
def head(shape: Shape) -> bytes:
    l4 = TCP(sport=33000, dport=443, flags="A") if shape.l4 == "tcp" else UDP(sport=33001, dport=53)
    link = LINK / Dot1Q(vlan=100) if shape.vlan else LINK
    outer = IPS["outer", shape.outer] / UDP(sport=50000, dport=4789) / VXLAN(vni=7001)
    return bytes(link / outer / LINK / IPS["inner", shape.inner] / l4)


def words(data: bytes) -> int:
    """Sum of words, with all its carries."""
    even = data + b"\0" * (len(data) % 2)
    return sum(struct.unpack(f">{len(even) // 2}H", even))


def fold(total: int) -> int:
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def get(frame: bytes, at: int) -> int:
    return int(struct.unpack_from(">H", frame, at)[0])


def put(frame: bytearray, at: int, value: int) -> None:
    struct.pack_into(">H", frame, at, value)


def pseudo(shape: Shape, frame: bytes, side: str) -> int:
    """Words of a pseudo-header, but for its length."""
    start = shape.heads[0 if side == "outer" else 2]
    family = shape.outer if side == "outer" else shape.inner
    addresses = frame[start + 12 : start + 20] if family == 4 else frame[start + 8 : start + 40]
    return words(addresses) + (6 if side == "inner" and shape.l4 == "tcp" else 17)


def length(shape: Shape, frame: bytes, side: str) -> int:
    """L4 bytes by the IP length."""
    start, l4 = shape.heads[:2] if side == "outer" else shape.heads[2:4]
    family = shape.outer if side == "outer" else shape.inner
    if family == 4:
        return get(frame, start + 2) - (l4 - start)
    return get(frame, start + 4)


def bounds(shape: Shape, frame: bytes, side: str) -> tuple[int, int, int]:
    """Start and end of L4, and its checksum field."""
    l4 = shape.heads[1 if side == "outer" else 3]
    at = l4 + 6 if side == "outer" else shape.field
    return l4, l4 + length(shape, frame, side), at


def close(shape: Shape, frame: bytearray, side: str) -> None:
    """Fill in the L4 checksum."""
    start, end, at = bounds(shape, frame, side)
    put(frame, at, 0)
    total = pseudo(shape, frame, side) + end - start + words(frame[start:end])
    value = 0xFFFF - fold(total)
    udp = side == "outer" or shape.l4 == "udp"
    put(frame, at, value or (0xFFFF if udp else 0))


def close_header(frame: bytearray, start: int) -> None:
    put(frame, start + 10, 0)
    put(frame, start + 10, 0xFFFF - fold(words(frame[start : start + 20])))


def good(
    shape: Shape, payload: bytes, *, seq: int = 0, port: int = 50000, padding: bytes = b""
) -> bytearray:
    """A right frame; padding is inside the tunnel, behind the inner packet."""
    frame = bytearray(head(shape) + payload + padding)
    ip, udp, inner, l4, _ = shape.heads
    end = len(frame) - len(padding)
    put(frame, udp, port)
    put(frame, udp + 4, len(frame) - udp)
    for start, family, stop in ((ip, shape.outer, len(frame)), (inner, shape.inner, end)):
        if family == 4:
            put(frame, start + 2, stop - start)
            put(frame, start + 4, seq & 0xFFFF)
            close_header(frame, start)
        else:
            put(frame, start + 4, stop - start - 40)
    if shape.l4 == "tcp":
        struct.pack_into(">I", frame, l4 + 4, seq * MSS)
    else:
        put(frame, l4 + 4, end - l4)
    close(shape, frame, "inner")
    if shape.asked:
        close(shape, frame, "outer")
    else:
        put(frame, udp + 6, 0)
    assert not check(bytes(frame)).bad
    return frame


def stream(shape: Shape, count: int = 20, seed: int = 1) -> list[bytearray]:
    """Super-packets of different sizes, cut: full segments, and a short last one in each."""
    return [bytearray(frame) for frame in _stream(shape, count, seed)]


@cache
def _stream(shape: Shape, count: int, seed: int) -> list[bytearray]:
    rng = random.Random(seed)
    frames: list[bytearray] = []
    while len(frames) < count:
        port = rng.randrange(49152, 65536)
        sizes = [MSS] * rng.randrange(2, 7) + [rng.randrange(3, MSS)]
        for size in sizes:
            frames.append(good(shape, rng.randbytes(size), seq=len(frames), port=port))
    return frames[:count]


def bad(shape: Shape, frames: list[bytearray]) -> list[BadFrame]:
    """The wrong ones among frames, as the capture hands them over."""
    found = []
    must = INNER_L4 | (OUTER_L4 if shape.asked else 0)
    for frame in frames:
        checked = check(bytes(frame))
        wrong = checked.bad | checked.absent & must
        names = tuple(name for bit, name in LAYERS.items() if wrong & bit)
        if names:
            found.append(BadFrame(base64.b64encode(frame).decode(), names, ("said",)))
    return found


def signed(shape: Shape, frames: list[bytearray]) -> Signature:
    found = sign(bad(shape, frames), shape.flow)
    assert found is not None
    return found


# Faults of an L4 checksum: what comes into the field

Break = Callable[[Shape, bytearray, str], int]


def parts(shape: Shape, frame: bytes, side: str) -> tuple[int, int, int]:
    """Pseudo-header with its length, sum of the rest, size."""
    start, end, at = bounds(shape, frame, side)
    rest = words(frame[start:at] + b"\0\0" + frame[at + 2 : end])
    return pseudo(shape, frame, side) + end - start, rest, end - start


def inverted(total: int) -> int:
    return 0xFFFF - fold(total)


def ranged(first: int, last: int, seeded: bool = True) -> Break:
    """The range starts `first` bytes late and ends `last` bytes late."""

    def value(shape: Shape, frame: bytearray, side: str) -> int:
        start, end, at = bounds(shape, frame, side)
        seed, _, _ = parts(shape, frame, side)
        blank = frame[:at] + b"\0\0" + frame[at + 2 :]
        return inverted(seed * seeded + words(blank[start + first : end + last]))

    return value


def simple(make: Callable[[int, int, int], int]) -> Break:
    """By pseudo-header, rest and size."""
    return lambda shape, frame, side: make(*parts(shape, frame, side))


def swap(value: int) -> int:
    return (value & 0xFF) << 8 | value >> 8


def odd(change: Callable[[int], int]) -> Break:
    """By the last byte of an odd number."""

    def value(shape: Shape, frame: bytearray, side: str) -> int:
        _, end, at = bounds(shape, frame, side)
        seed, rest, size = parts(shape, frame, side)
        if size % 2 == 0:
            return get(frame, at)
        return inverted(seed + rest + change(frame[end - 1]) + 0xFFFF * 2)

    return value


def uncarried(shape: Shape, frame: bytearray, side: str) -> int:
    seed, rest, _ = parts(shape, frame, side)
    return 0xFFFF - (fold(seed) + rest & 0xFFFF)


def other_pseudo(shape: Shape, frame: bytearray, side: str) -> int:
    other = "inner" if side == "outer" else "outer"
    seed, _, _ = parts(shape, frame, other)
    return inverted(seed + parts(shape, frame, side)[1])


def header_missing(shape: Shape, frame: bytearray, side: str) -> int:
    start, _, _ = bounds(shape, frame, side)
    payload = shape.heads[4] if side == "inner" else start + 8
    return ranged(payload - start, 0)(shape, frame, side)


def headers_only(shape: Shape, frame: bytearray, side: str) -> int:
    start, end, _ = bounds(shape, frame, side)
    return ranged(0, shape.heads[4] - end)(shape, frame, side)


FAULTS: dict[str, tuple[str, Break]] = {
    "seed": ("seed-left", simple(lambda seed, rest, size: fold(seed))),
    "seed without length": ("seed-left", simple(lambda seed, rest, size: fold(seed - size))),
    "complement of the seed": ("seed-left", simple(lambda seed, rest, size: inverted(seed))),
    "zero": ("zero-left", simple(lambda seed, rest, size: 0)),
    "constant": ("constant", simple(lambda seed, rest, size: 0x1DEA)),
    "ffff": ("constant", simple(lambda seed, rest, size: 0xFFFF)),
    "not complemented": ("not-complemented", simple(lambda seed, rest, size: fold(seed + rest))),
    "swapped": ("byte-swapped", simple(lambda seed, rest, size: swap(inverted(seed + rest)))),
    "pseudo swapped": (
        "byte-swapped",
        simple(lambda seed, rest, size: inverted(swap(fold(seed)) + rest)),
    ),
    "no pseudo": ("pseudo-omitted", simple(lambda seed, rest, size: inverted(rest))),
    "pseudo twice": ("pseudo-twice", simple(lambda seed, rest, size: inverted(2 * seed + rest))),
    "no length": ("pseudo-part", simple(lambda seed, rest, size: inverted(seed - size + rest))),
    "other pseudo": ("other-pseudo", other_pseudo),
    "late 2": ("wrong-range", ranged(2, 0)),
    "late 8 moved": ("wrong-range", ranged(8, 0, seeded=False)),
    "early 2": ("wrong-range", ranged(-2, 0)),
    "early 2 moved": ("wrong-range", ranged(-2, -2)),
    "early 8": ("wrong-range", ranged(-8, 0)),
    "short 2": ("wrong-range", ranged(0, -2)),
    "short 4": ("wrong-range", ranged(0, -4)),
    "short 1": ("wrong-range", ranged(0, -1)),
    "header missing": ("wrong-range", header_missing),
    "headers only": ("wrong-range", headers_only),
    "odd ignored": ("odd-byte", odd(lambda last: -(last << 8))),
    "odd in the wrong half": ("odd-byte", odd(lambda last: last - (last << 8))),
    "carries": ("carry-lost", uncarried),
    "one carry": ("carry-lost", simple(lambda seed, rest, size: inverted(seed + rest - 1))),
    "off": ("constant-difference", simple(lambda seed, rest, size: inverted(seed + rest + 0x1234))),
}


def break_sum(shape: Shape, frames: list[bytearray], side: str, fault: Break) -> list[bytearray]:
    for frame in frames:
        *_, at = bounds(shape, frame, side)
        put(frame, at, fault(shape, frame, side))
    return frames


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("shape", SHAPES, ids=NAMES)
@pytest.mark.parametrize("side", ["outer", "inner", "inner, outer over it"])
def test_a_fault_of_a_sum_is_named(shape: Shape, side: str, fault: str) -> None:
    name, value = FAULTS[fault]
    layer = side[:5]
    frames = break_sum(shape, stream(shape), layer, value)
    if side == "inner, outer over it":
        for frame in frames:  # the outer sum was taken over what the inner one had become
            close(shape, frame, "outer")
    wrong = bad(shape, frames)
    found = sign(wrong, shape.flow)
    assert found is not None
    assert (found.name, found.layer) == (name, f"{layer} L4"), str(found)
    assert (found.explained, found.of, found.unexplained) == (len(wrong), len(wrong), 0)
    assert found.also == ()
    assert f"explains {len(wrong)} of {len(wrong)} wrong frames" in found.sentence
