"""The traffic generator compared with a loop of `sendto`, into a VXLAN whose NIC drops everything.

Run as a module, it sends with one of them and prints datagrams per second:

    python -m bench.generator sendto|single|segmented DATAGRAMS
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import time
from collections.abc import Iterator
from functools import partial

from qualification.agent.traffic.sending import send
from qualification.lab.hosts import run as command
from qualification.lab.softnic.tap import open_tap
from qualification.messages.bursts import FlowOrder

from .processes import inside, own_code, run
from .rows import Row, Side, at_least
from .setting import Setting
from .tunnel import PORT, address, make_end, underlay

_PAYLOAD = 1350
_NAMES = {
    "segmented": "datagrams in super-packets",
    "single": "datagrams one by one",
    "sendto": "loop of sendto",
}
_LIMITS = {
    "segmented": "The kernel: copying a super-packet in, and its way through routing, VXLAN and "
    "the queue. The datagrams themselves are made in C.",
    "single": "The kernel: every datagram goes through routing, VXLAN and the queue by itself; "
    "sendmmsg(2) saves no more than the calls.",
}


def against_sendto(setting: Setting) -> Iterator[Row]:
    """Yields datagrams per second of wall time."""
    count = 20_000 if setting.quick else 1_000_000
    with _tunnel() as namespace:

        def rate(kind: str) -> float:
            sending = inside(namespace, own_code("bench.generator", kind, str(count)))
            return float(run(sending, keep=True).output)

        found = setting.in_turn({name: partial(rate, kind) for kind, name in _NAMES.items()})
    for kind, bar in (("segmented", at_least(3)), ("single", None)):
        yield Row(
            work=f"{_NAMES[kind]}, against a {_NAMES['sendto']}",
            unit="datagrams/s",
            ours=Side(_NAMES[kind], found[_NAMES[kind]]),
            peer=Side(_NAMES["sendto"], found[_NAMES["sendto"]]),
            bar=bar,
            limit=_LIMITS[kind],
        )


@contextlib.contextmanager
def _tunnel() -> Iterator[str]:
    """Yields a namespace with one end of a tunnel; the other end of the wire is not connected."""
    name = f"vxq-bench-{os.getpid()}"
    command("ip", "netns", "add", name)
    with contextlib.ExitStack() as undo:
        undo.callback(command, "ip", "netns", "del", name)
        for queue in open_tap(name, "port0").queues:
            undo.callback(os.close, queue)
        command("ip", "-n", name, "link", "set", "port0", "up")
        make_end(name, 1)
        nobody = (underlay(2), "lladdr", "02:00:00:00:00:02", "dev", "port0")
        command("ip", "-n", name, "neighbour", "replace", *nobody)
        yield name


def _rate(kind: str, count: int) -> float:
    """Sends in the namespace it runs in; returns datagrams per second."""
    if kind == "sendto":
        datagram, there = bytes(_PAYLOAD), (address(2), PORT)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            start = time.monotonic()
            for _ in range(count):
                sock.sendto(datagram, there)
            return count / (time.monotonic() - start)
    order = FlowOrder(
        vni=None, protocol="udp", segmented=kind == "segmented", source=address(1),
        destination=address(2), port=PORT, frames=count, payload=_PAYLOAD, streams=16, seed=1,
        pace=10**9, deadline=60.0,
    )  # fmt: skip
    sent = send(order, None, lambda: False)
    if sent.written < count:
        sys.exit(f"only {sent.written} of {count} datagrams could be sent")
    return sent.written / sent.seconds


if __name__ == "__main__":
    print(_rate(sys.argv[1], int(sys.argv[2])))
