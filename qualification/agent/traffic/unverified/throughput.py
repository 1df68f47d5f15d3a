"""Sends bulk TCP for some time as fast as it goes, and tells how much got through at which CPU."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import time
from collections.abc import Callable

from qualification.agent.host.counters import busy_seconds
from qualification.agent.traffic.flow_socket import flow_socket
from qualification.agent.traffic.payload import pool
from qualification.agent.traffic.tcp_info import tcp_info
from qualification.messages.bursts import FlowOrder
from qualification.messages.throughput import Throughput

WARM_UP = 0.15
"""Seconds that are not counted: connecting, and TCP's slow start."""
_RESET = struct.pack("@ii", 1, 0)  # SO_LINGER: what is on the way is dropped, not sent again
_LOOK = 0.02
"""Seconds between two looks at the clock where no stream can be written to."""


def send_bulk(
    order: FlowOrder, namespace: int | None, seconds: float, stop: Callable[[], bool]
) -> Throughput:
    """Sends to a receiver that drops what it gets, and counts what it acknowledges.

    Args:
        order: Says from where to where, and over how many streams; of TCP.
        namespace: Descriptor of the namespace of its sockets; None for the current one.
        seconds: For how long, after a short time to get going.
        stop: Returns whether to give up.
    """
    piece = pool(order.seed)
    with contextlib.ExitStack() as undo:
        selector = undo.enter_context(selectors.DefaultSelector())
        streams: list[socket.socket] = []
        for _ in range(order.streams):
            sock = undo.enter_context(flow_socket(order, namespace))
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            sock.connect_ex((order.destination, order.port))
            selector.register(sock, selectors.EVENT_WRITE)
            streams.append(sock)

        def write_until(end: float) -> None:
            while time.monotonic() < end and not stop():
                for key, _events in selector.select(_LOOK):
                    sock = key.fileobj
                    assert isinstance(sock, socket.socket)
                    try:
                        sock.send(piece)
                    except BlockingIOError:
                        continue
                    except OSError:  # the others go on; what it got through counts
                        selector.unregister(sock)

        def now() -> tuple[int, float, float]:
            acknowledged = sum(tcp_info(stream).acked for stream in streams)
            return acknowledged, time.monotonic(), busy_seconds()

        write_until(time.monotonic() + WARM_UP)
        octets, start, cpu = now()
        write_until(start + seconds)
        octets_then, end, cpu_then = now()
    return Throughput(max(0, octets_then - octets), end - start, max(0.0, cpu_then - cpu))
