"""What the page shows of the evidence of a cell, as JSON: rates, counters, a frame dissected."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RateAt:
    """The rate at a value of a dimension, with its interval at the confidence of the run."""

    value: str
    frames: int
    bad: int
    low: float
    high: float


@dataclass(frozen=True)
class PageDimension:
    """Rates by the values of a dimension, such as the size of frames."""

    name: str
    rates: tuple[RateAt, ...]


@dataclass(frozen=True)
class PageField:
    """A field of a frame.

    Attributes:
        name: Its name.
        start: Offset of its first byte in the frame.
        end: Offset behind its last byte.
        text: Its value, for people.
        should: The right value, where it is wrong.
    """

    name: str
    start: int
    end: int
    text: str
    should: str = ""


@dataclass(frozen=True)
class PageSection:
    """A part of a frame: a header, the payload, or bytes behind it.

    Attributes:
        name: Such as "outer UDP".
        start: Offset of its first byte.
        end: Offset behind its last byte.
        state: "good", "bad", "absent" or "unjudged"; empty where nothing is judged.
        fields: Its fields, in order.
    """

    name: str
    start: int
    end: int
    state: str = ""
    fields: tuple[PageField, ...] = ()


@dataclass(frozen=True)
class PageFrame:
    """A wrong frame, dissected.

    Attributes:
        hex: Its first bytes in hexadecimal.
        length: Its length on the wire, bytes.
        findings: What is wrong with it, in sentences.
        sections: Its parts, in order.
    """

    hex: str
    length: int
    findings: tuple[str, ...]
    sections: tuple[PageSection, ...]


@dataclass(frozen=True)
class PageDetail:
    """What the verdict of a cell rests on.

    Attributes:
        refused: Features that the driver refused to switch.
        figures: Numbers of the bursts, as pairs of a name and a value.
        counters: NIC and kernel counters that moved: name, on the DUT, on the peer.
        log: Lines that the kernels logged meanwhile.
        dimensions: Rates by dimension, where frames were wrong.
        shapes: Where the NIC receives: shape, what is wrong in it, sent, captured, delivered.
        frame: The first wrong frame that was kept.
    """

    refused: tuple[str, ...] = ()
    figures: tuple[tuple[str, int], ...] = ()
    counters: tuple[tuple[str, int, int], ...] = ()
    log: tuple[str, ...] = ()
    dimensions: tuple[PageDimension, ...] = ()
    shapes: tuple[tuple[str, str, int, int, int], ...] = ()
    frame: PageFrame | None = None
