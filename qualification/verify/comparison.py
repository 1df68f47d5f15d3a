"""Two captures of the same traffic: what happened to frames between the sender and the receiver.

Each frame that arrived wrong is looked for in the sender's capture, by the addresses and ports of
its innermost packet and by its place in the traffic: the sequence number with TCP, so that a
segment is found in the buffer that the sender's NIC has cut; the payload, or else the IP id, with
the rest. Clocks do not matter. What the sender handed to its NIC then says who changed it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from qualification.stack.codes import KIND_NAMES, Kind, State
from qualification.stack.walk import TCP

from .words import count, ends_of, sentences

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qualification.stack.counting import KeptFrame
    from qualification.stack.walk import Walk

MOST_FRAMES = 5000
"""Frames that arrived wrong and are looked for: enough to tell, and bounded in memory."""

_SHOWN = 8


class Blame(Enum):
    """Who changed a frame; the value says it to people."""

    SENDER_NIC = (
        "the sender's NIC: it was to fill in the checksum, and the data is what it was given"
    )
    LEFT = "the sender's NIC: it left the checksum as the kernel had handed it over"
    SENDER = "the sending host: the frame was wrong before it reached the NIC"
    FIELD = "the sender's NIC or the path: the checksum was right, and only it was changed"
    DATA = "the sender's NIC or the path: the data was changed on the way"
    UNKNOWN = "not in the sender's capture: made on the way, or lost by that capture"


@dataclass(frozen=True)
class Piece:
    """What a frame carries: its innermost packet.

    Attributes:
        number: The number of the frame in its capture.
        flow: Addresses, IP protocol and ports.
        place: TCP's sequence number; else 0.
        ident: The IP id, if there is one.
        payload: The bytes behind the L4 header, as far as they were captured.
        walk: What was found in the frame.
    """

    number: int
    flow: tuple[object, ...]
    place: int
    ident: bytes
    payload: bytes
    walk: Walk


def piece_of(number: int, walk: Walk) -> Piece | None:
    """Returns what a frame carries; None if it has no packet, or not its L4 header."""
    if not walk.packets:
        return None
    packet, data = walk.packets[-1], walk.data
    at, width = (12, 8) if packet.family == 4 else (8, 32)
    addresses = data[packet.start + at : packet.start + at + width]
    flow = (addresses, packet.protocol, packet.source_port, packet.destination_port)
    ident = data[packet.start + 4 : packet.start + 6] if packet.family == 4 else b""
    start, place = packet.l4 + 8, 0
    if packet.protocol == TCP:
        if packet.l4 + 20 > len(data):
            return None
        place = int.from_bytes(data[packet.l4 + 4 : packet.l4 + 8], "big")
        start = packet.l4 + (data[packet.l4 + 12] >> 4) * 4
    # A buffer that the NIC has yet to cut may be longer than its IP length says (GSO partial).
    return Piece(number, flow, place, ident, data[start : max(packet.end, len(data))], walk)


@dataclass
class Comparison:
    """The frames that arrived wrong, and who changed them.

    Attributes:
        wrong: The pieces that arrived wrong.
        blamed: For each, by its number: who changed it, and the sender's frame.
    """

    wrong: list[Piece] = field(default_factory=list)
    blamed: dict[int, tuple[Blame, Piece | None]] = field(default_factory=dict)
    _by_flow: dict[tuple[object, ...], list[Piece]] = field(default_factory=dict)

    def add_wrong(self, kept: KeptFrame) -> None:
        """Adds a frame that arrived wrong."""
        piece = piece_of(kept.number, kept.walk)
        if piece is not None and len(self.wrong) < MOST_FRAMES:
            self.wrong.append(piece)
            self._by_flow.setdefault(piece.flow, []).append(piece)

    def take(self, number: int, walk: Walk) -> None:
        """Compares a frame of the sender with those that arrived wrong."""
        sent = piece_of(number, walk)
        if sent is None or sent.flow not in self._by_flow:
            return
        for piece in self._by_flow[sent.flow]:
            blame = _blame(piece, sent)
            before = self.blamed.get(piece.number)
            if blame is not None and (before is None or before[0] == Blame.DATA):
                self.blamed[piece.number] = blame, sent

    def of(self, piece: Piece) -> tuple[Blame, Piece | None]:
        """Returns who changed a frame, and the frame that the sender had."""
        return self.blamed.get(piece.number, (Blame.UNKNOWN, None))


def _blame(arrived: Piece, sent: Piece) -> Blame | None:
    """Says who changed a frame; None if it is another frame than the sender's."""
    length = _length(arrived)
    if arrived.flow[1] == TCP:
        offset = (arrived.place - sent.place) % (1 << 32)
        if offset >= max(len(sent.payload), 1):
            return None
        same = sent.payload[offset : offset + length] == arrived.payload[:length]
    else:
        same = bool(length) and arrived.payload[:length] in sent.payload
        if not same and not (arrived.ident == sent.ident != b""):
            return None
    if not same:
        return Blame.DATA
    states = State.WRONG, State.LENGTH
    wrong = next((each for each in arrived.walk.sums if each.state in states), None)
    if wrong is None:  # the frame ends before the length in its IP header
        return Blame.SENDER if sent.walk.is_short else Blame.DATA
    was = _state_of(sent.walk, wrong.kind, len(arrived.walk.packets) - wrong.depth)
    if was in ("unfinished", "absent"):
        unfinished = wrong.state == State.WRONG and wrong.how.name in ("PARTIAL", "ZERO", "LATER")
        return Blame.LEFT if unfinished else Blame.SENDER_NIC
    return Blame.SENDER if was == "wrong" else Blame.FIELD


def _length(piece: Piece) -> int:
    """Returns the bytes of payload by the IP length, without padding of the link."""
    packet = piece.walk.packets[-1]
    return len(piece.payload) - (len(piece.walk.data) - min(packet.end, len(piece.walk.data)))


def _state_of(walk: Walk, kind: Kind, from_inside: int) -> str:
    """Returns the state of a sum at the sender, which is counted from the innermost packet."""
    for each in walk.sums:
        if each.kind == kind and len(walk.packets) - each.depth == from_inside:
            if each.state == State.WRONG:
                return "unfinished" if each.how.name in ("PARTIAL", "ZERO", "LATER") else "wrong"
            return {State.ABSENT: "absent", State.LENGTH: "wrong"}.get(each.state, "right")
    return "absent"


def report(comparison: Comparison, arrived_wrong: int) -> Iterator[str]:
    """Yields the lines of the comparison.

    Args:
        comparison: The comparison.
        arrived_wrong: How many frames arrived wrong in all.
    """
    if not comparison.wrong:
        yield (
            "no frame arrived wrong: if the receiver drops some, its NIC or its kernel is to "
            "blame, or they are lost on the way"
        )
        return
    looked_for = len(comparison.wrong)
    some = (
        "" if looked_for == arrived_wrong else f", of which the first {looked_for:,} are compared"
    )
    yield f"{count(arrived_wrong)} arrived wrong{some}"
    found = Counter(comparison.of(piece)[0] for piece in comparison.wrong)
    for blame, number in found.most_common():
        yield ""
        yield f"{count(number)}: {blame.value}"
        for piece in _first(comparison, blame):
            yield from _lines(piece, comparison.of(piece)[1])


def _first(comparison: Comparison, blame: Blame) -> Iterable[Piece]:
    return [piece for piece in comparison.wrong if comparison.of(piece)[0] == blame][:_SHOWN]


def _lines(piece: Piece, sent: Piece | None) -> Iterator[str]:
    ends = " → ".join(ends_of(piece.walk.packets[-1], piece.walk.data))
    yield f"  receiver's frame {piece.number}, {ends}: {'; '.join(sentences(piece.walk))}"
    if sent is not None:
        was = "; ".join(sentences(sent.walk)) or "every checksum is right"
        yield f"    sender's frame {sent.number}: {was}"
        yield f"    changed: {', '.join(changes(sent, piece)) or 'nothing that is compared'}"


def changes(sent: Piece, arrived: Piece) -> list[str]:
    """Names what is different between a frame of the sender and the one that arrived."""
    found = []
    length = _length(arrived)
    offset = 0
    if arrived.flow[1] == TCP:
        offset = (arrived.place - sent.place) % (1 << 32)
    elif arrived.payload[:length] in sent.payload:
        offset = sent.payload.index(arrived.payload[:length])
    if len(sent.payload) > offset + length + 64 or offset:
        found.append("cut into segments")
    if arrived.walk.is_short and not sent.walk.is_short:
        found.append("the end of the frame is missing")
    before = sent.payload[offset : offset + length]
    for at, (one, other) in enumerate(zip(before, arrived.payload[:length], strict=False)):
        if one != other:
            found.append(f"payload from byte {at} on: 0x{one:02x} became 0x{other:02x}")
            break
    for mine, theirs in zip(reversed(sent.walk.sums), reversed(arrived.walk.sums), strict=False):
        if mine.kind == theirs.kind and min(mine.field, theirs.field) >= 0:
            size = 4 if mine.kind == Kind.SCTP else 2
            old = sent.walk.data[mine.field : mine.field + size]
            new = arrived.walk.data[theirs.field : theirs.field + size]
            if old != new:
                name = KIND_NAMES[mine.kind]
                found.append(f"{name} checksum 0x{old.hex()} became 0x{new.hex()}")
    return found
