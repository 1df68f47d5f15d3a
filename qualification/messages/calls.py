"""The orders and answers of calls, by which the symptom at an application is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CallsOrder:
    """Calls over TCP inside the tunnel, as an application makes them.

    Attributes:
        routes: Pairs of source and destination address; channels use them in turn.
        port: The server's port.
        channels: Number of connections used at once.
        calls: Calls of each channel, one after another.
        sizes: Payload of request and of answer, bytes; calls use them in turn.
        deadline: Seconds after which a call is an error.
        seconds: How long new calls are begun.
        seed: Determines every payload byte.
    """

    routes: tuple[tuple[str, str], ...]
    port: int
    channels: int
    calls: int
    sizes: tuple[int, ...]
    deadline: float
    seconds: float
    seed: int


@dataclass(frozen=True)
class ChannelCalls:
    """The results of one channel's calls.

    Attributes:
        latencies: Seconds that each call took that was answered in time, in their order.
        missed: Calls that missed their deadline.
        broken: Calls whose connection was refused, reset or closed.
        corrupt: Calls whose answer was not the one that was sent.
        segments: TCP segments with data that this end sent.
        retransmitted: Segments that this end retransmitted, those of handshakes included.
    """

    latencies: tuple[float, ...] = ()
    missed: int = 0
    broken: int = 0
    corrupt: int = 0
    segments: int = 0
    retransmitted: int = 0


@dataclass(frozen=True)
class Calls:
    """The results of the client: those of its channels, and the seconds that all calls took."""

    channels: tuple[ChannelCalls, ...]
    seconds: float


@dataclass(frozen=True)
class Served:
    """The results of the server.

    Attributes:
        calls: Calls answered.
        corrupt: Requests that were not those that were sent.
        segments: TCP segments with data that this end sent.
        retransmitted: Segments that this end retransmitted, those of handshakes included.
    """

    calls: int = 0
    corrupt: int = 0
    segments: int = 0
    retransmitted: int = 0
