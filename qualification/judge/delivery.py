"""What reached the peer's NIC and not its sockets, and what they had no room for. Pure.

The NIC under test has no part in it: what was captured has left it, and is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qualification.messages.bursts import Delivered, Protocol
from qualification.plan.flows import Flow

from .evidence import Burst

_NO_ROOM = ("Udp.RcvbufErrors", "Udp.MemErrors", "Udp6RcvbufErrors", "Udp6MemErrors")


def undelivered(burst: Burst) -> int:
    """Returns how many datagrams of a burst of UDP arrived right and were not received."""
    seen, delivered = burst.received.captured, burst.received.delivered
    if delivered.complete:
        return 0
    right = min(burst.sent.written, seen.frames - seen.bad + sum(seen.unjudged.values()))
    return max(0, right - _received_once(delivered))


def no_socket_room(burst: Burst, l4: Protocol, *, tunnel: bool) -> int:
    """Returns how many datagrams of a burst the peer's sockets had no room for.

    The kernel drops a datagram where the socket's buffer is full (RcvbufErrors), or where the UDP
    sockets of the whole host hold all that `net.ipv4.udp_mem` allows, which depends on the memory
    of the host (MemErrors, since Linux 5.11; `__udp_enqueue_schedule_skb`, net/ipv4/udp.c). Without
    a tunnel the counters are those of every socket of the host: no more is taken from them than is
    missing.

    Args:
        burst: The burst.
        l4: The protocol of its sockets. A stream of TCP waits for room.
        tunnel: Whether it went through a tunnel.
    """
    if l4 == "tcp":
        return 0
    where = "inner" if tunnel else "outer"
    counters = burst.received.counters
    return min(undelivered(burst), sum(counters.get(f"{where}.{name}", 0) for name in _NO_ROOM))


@dataclass(frozen=True)
class Delivery:
    """What is to be said of a cell whose payloads the peer's application did not all receive.

    Attributes:
        accounted: Whether it is known where all that is missing was dropped.
        received: Datagrams that were received.
        text: A sentence for people.
    """

    accounted: bool
    received: int
    text: str


def delivery_of(
    flow: Flow, bursts: Sequence[Burst], held: Sequence[int], *, any_lost: bool
) -> Delivery | None:
    """Returns what is to be said of payloads that were not received; None if nothing is.

    Args:
        flow: What was sent.
        bursts: The bursts of the cell, without wrong frames.
        held: Frames of each that never reached the driver, for which it is said elsewhere.
        any_lost: Whether frames were lost on the way, of which the payloads are missing, too.
    """
    no_room = [no_socket_room(burst, flow.l4, tunnel=flow.tunnel) for burst in bursts]
    received = sum(burst.received.delivered.received for burst in bursts)
    if not any_lost and any(map(_unaccounted, bursts, held, no_room)):
        return Delivery(
            False,
            received,
            "every frame submitted to the driver arrived right, but the peer's application lacks "
            "some of what was sent",
        )
    if not any(no_room):
        return None
    text = (
        f"the peer's sockets had no room for {sum(no_room):,} of the datagrams that arrived; "
        f"{received:,} were received, with the payloads that were sent"
    )
    return Delivery(True, received, text)


def _unaccounted(burst: Burst, held: int, no_room: int) -> bool:
    """Returns whether more is missing than never reached the driver or found no room."""
    delivered = burst.received.delivered
    if delivered.complete:
        return False
    missing = burst.sent.written - _received_once(delivered)
    return not held + no_room or missing > held + no_room


def _received_once(delivered: Delivered) -> int:
    """Returns what was received, each datagram once."""
    return delivered.received - delivered.duplicates
