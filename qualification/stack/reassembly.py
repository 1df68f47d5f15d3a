"""Puts IP fragments together, so that the checksum over the whole datagram can be judged.

Memory is bounded by entries, by bytes, and by the time between captures; what is thrown away stays
"not judged". A fragment that overlaps another with other bytes makes its datagram unusable
(RFC 5722 for IPv6; what IPv4 would make of it depends on the receiver).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from qualification.wire.checksum import checksum, ones_sum

from .codes import How, Kind, State
from .judge import walk_frame
from .outcomes import Outcome, SumCode
from .walk import AH, FRAGMENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from .walk import Walk

MOST_DATAGRAMS, MOST_BYTES = 1024, 16 << 20
LONGEST_WAIT = 30 * 10**9
"""Nanoseconds between the first fragment and the last one: Linux's ipfrag_time."""

_RAW_IPV4, _RAW_IPV6 = 228, 229
_LONGEST = 65535
_Key = tuple[object, ...]


@dataclass
class _Datagram:
    """The fragments of one datagram so far: each by the offset of its bytes in the datagram.

    Attributes:
        began: When the first one was captured.
        head: IP header and extension headers of the first fragment; empty as long as it is missing.
        parts: The bytes by their offset.
        length: Bytes of the datagram behind those headers; None as long as the last is missing.
        outcomes: What the fragments were counted as.
        broken: Whether fragments contradict each other.
    """

    began: int
    head: bytes = b""
    parts: dict[int, bytes] = field(default_factory=dict)
    length: int | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    broken: bool = False
    size: int = 0

    def add(self, offset: int, payload: bytes, *, is_last: bool) -> None:
        """Adds a fragment, and notes whether it contradicts the others."""
        end = offset + len(payload)
        if is_last:
            self.broken |= self.length not in (None, end)
            self.length = end
        elif len(payload) % 8:
            self.broken = True
        if not payload or self.parts.get(offset) == payload:
            return  # a fragment without bytes is discarded (ip_frag_queue); captured twice
        for start, other in self.parts.items():
            self.broken |= start < end and offset < start + len(other)
        self.broken |= end > _LONGEST
        self.parts[offset] = payload
        self.size += len(payload)

    def give_up(self) -> None:
        """Lets go of what was collected: fragments that follow are no longer put together."""
        self.broken = True
        for collected in (self.parts, self.outcomes, self.numbers):
            collected.clear()

    def whole(self) -> bytes | None:
        """Returns the datagram behind its headers, if all of it is there."""
        if self.broken or self.length is None or self.size != self.length or not self.head:
            return None
        return b"".join(self.parts[offset] for offset in sorted(self.parts))


@dataclass(frozen=True)
class Whole:
    """A datagram that was put together.

    Attributes:
        walk: What was found in it; its bytes begin with its IP header.
        outcome: The outcome of its last fragment, with what was found in the datagram.
        earlier: What its other fragments were counted as.
        numbers: The numbers of all its fragments.
    """

    walk: Walk
    outcome: Outcome
    earlier: list[Outcome]
    numbers: tuple[int, ...]


class Reassembly:
    """Collects fragments.

    Attributes:
        ports: UDP ports that somebody named as those of VXLAN.
        walk_frame: Judges a datagram: the reference, or the C implementation.
    """

    def __init__(self, ports: frozenset[int]) -> None:
        self.ports = ports
        self.walk_frame: Callable[[bytes, int, int, frozenset[int]], Walk] = walk_frame
        self._datagrams: dict[_Key, _Datagram] = {}
        self._bytes = 0

    def take(self, walk: Walk, outcome: Outcome, number: int, time: int) -> Whole | None:
        """Takes a fragment; returns the datagram if it was the last one that was missing.

        Args:
            walk: What was found in the frame; its `fragment` is set.
            outcome: Its outcome.
            number: Its number in the capture.
            time: When it was captured, in nanoseconds.
        """
        read = _read(walk)
        if read is None:
            return None
        key, head, offset, payload, is_last = read
        datagram = self._datagrams.get(key)
        if datagram is not None and abs(time - datagram.began) > LONGEST_WAIT:
            self._drop(key)
            datagram = None
        if datagram is None:
            datagram = self._datagrams[key] = _Datagram(time)
        before = datagram.size
        datagram.add(offset, payload, is_last=is_last)
        self._bytes += datagram.size - before
        if offset == 0:
            datagram.head = head
        datagram.outcomes.append(outcome)
        datagram.numbers.append(number)
        whole = datagram.whole()
        if whole is not None:
            self._drop(key)
            return self._judge(datagram, walk, whole)
        if datagram.broken or len(datagram.numbers) > _LONGEST // 8:
            datagram.give_up()
        while len(self._datagrams) > MOST_DATAGRAMS or self._bytes > MOST_BYTES:
            self._drop(next(iter(self._datagrams)))
        return None

    def _drop(self, key: _Key) -> None:
        self._bytes -= self._datagrams.pop(key).size

    def _judge(self, datagram: _Datagram, walk: Walk, payload: bytes) -> Whole | None:
        head = bytearray(datagram.head)
        family = head[0] >> 4
        length = len(head) + len(payload)
        if family == 4:
            head[2:4] = min(length, _LONGEST).to_bytes(2, "big")
            head[6:8], head[10:12] = b"\0\0", b"\0\0"
            head[10:12] = checksum(ones_sum(bytes(head))).to_bytes(2, "big")
        else:
            head[4:6] = min(length - 40, _LONGEST).to_bytes(2, "big")
        if length > _LONGEST + (0 if family == 4 else 40):
            return None
        whole = bytes(head) + payload
        link = _RAW_IPV4 if family == 4 else _RAW_IPV6
        found = self.walk_frame(whole, len(whole), link, self.ports)
        outer = walk.fragment - 1
        last = datagram.outcomes[-1]
        sums = [each for each in last.sums if each.how != How.FRAGMENT]
        sums += [
            SumCode(each.kind, each.state, each.how, each.depth + outer)
            for each in found.sums
            if each.depth or each.kind != Kind.IPV4
        ]
        vni = found.vni if last.vni is None and found.vni >= 0 else last.vni
        inner = [packet.carrier for packet in found.packets[1:]]
        innermost = found.packets[-1] if found.packets else None
        merged = last._replace(
            family=innermost.family if innermost else last.family,
            protocol=innermost.protocol if innermost else last.protocol,
            vni=vni,
            carriers=(*last.carriers[: outer + 1], *inner),
            noticed=found.noticed if found.noticed >= 0 else last.noticed,
            sums=tuple(sums),
        )
        return Whole(found, merged, datagram.outcomes[:-1], tuple(datagram.numbers))


def elsewhere(outcome: Outcome) -> Outcome:
    """Returns the outcome of a fragment whose datagram was judged with another fragment."""
    return outcome._replace(
        sums=tuple(
            each._replace(state=State.ELSEWHERE) if each.how == How.FRAGMENT else each
            for each in outcome.sums
        )
    )


def _read(walk: Walk) -> tuple[_Key, bytes, int, bytes, bool] | None:
    """Returns key, headers, offset and bytes of a fragment, and whether it is the last one.

    None if not all of it was captured.
    """
    packet, data = walk.packets[walk.fragment - 1], walk.data
    if packet.end > len(data) or packet.l4 > packet.end:
        return None
    payload, start = data[packet.l4 : packet.end], packet.start
    key: _Key
    around = (walk.vni, *(each.carrier for each in walk.packets[: walk.fragment]))
    if packet.family == 4:
        word = walk.word(start + 6)
        key = (*around, data[start + 12 : start + 20], data[start + 4 : start + 6], data[start + 9])
        return key, data[start : packet.l4], (word & 0x1FFF) * 8, payload, not word & 0x2000
    at = packet.l4 - 8
    word, ident = walk.word(at + 2), data[at + 4 : at + 8]
    head = bytearray(data[start:at])
    head[_field_before(head)] = data[at]
    key = (*around, data[start + 8 : start + 40], ident)
    return key, bytes(head), word & 0xFFF8, payload, not word & 1


def _field_before(head: bytearray) -> int:
    """Returns the offset of the field that announces the fragment header behind some headers."""
    place, at = 6, 40
    while head[place] != FRAGMENT and at + 1 < len(head):
        size = (head[at + 1] + 2) * 4 if head[place] == AH else (head[at + 1] + 1) * 8
        place, at = at, at + size
    return place
