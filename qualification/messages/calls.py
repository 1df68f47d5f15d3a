"""What controller and agents tell each other of calls, for the symptom: plain data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CallsOrder:
    """Calls over TCP inside the tunnel, as an application would make them.

    Attributes:
        routes: Source and destination address; channels take them in turn.
        port: The server's port.
        channels: Connections used at once.
        calls: Calls of each channel, one after another.
        sizes: Payload bytes of request and of answer; calls take them in turn.
        deadline: Seconds after which a call is an error.
        seconds: After so long no further call is begun.
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
    """What came of one channel's calls.

    Attributes:
        latencies: Seconds that each call took which was answered in time, in their order.
        missed: Calls that missed their deadline.
        broken: Calls whose connection was refused, reset or closed.
        corrupt: Calls whose answer was not the one that was sent.
        segments: TCP segments of data that this end sent.
        retransmitted: Segments sent again, those of handshakes among them.
    """

    latencies: tuple[float, ...] = ()
    missed: int = 0
    broken: int = 0
    corrupt: int = 0
    segments: int = 0
    retransmitted: int = 0


@dataclass(frozen=True)
class Calls:
    """What the client of calls has to say: its channels, and how long all of it took."""

    channels: tuple[ChannelCalls, ...]
    seconds: float


@dataclass(frozen=True)
class Served:
    """What the server of calls has to say.

    Attributes:
        calls: Calls answered.
        corrupt: Requests that were not those that were sent.
        segments: TCP segments of data that this end sent.
        retransmitted: Segments sent again, those of handshakes among them.
    """

    calls: int = 0
    corrupt: int = 0
    segments: int = 0
    retransmitted: int = 0
