"""Bulk TCP through two soft NICs with all offloads on, in C and in pure Python.

Run as a module, it is one end of the stream; the receiver prints Gbit/s of payload:

    python -m bench.softnic receive
    python -m bench.softnic send SECONDS
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial

from qualification.errors import LabError
from qualification.lab import loopback
from qualification.lab.softnic import engine
from qualification.topology import Topology
from qualification.wire.native import SWITCH, native_for

from .processes import inside, own_code, run, started
from .rows import Bar, Row, Side, at_least
from .setting import Setting
from .tunnel import PORT, address, make_end, underlay

_AT_ONCE = 1 << 20
"""Bytes that are sent or received in one call."""
_ENGINES = {"native": "soft NIC", "python": "soft NIC in pure Python"}
_LIMIT = (
    "The kernel: a soft NIC gives every frame to the other end by a write of its own. Three "
    "quarters of its process are that, and a seventh is the cutting and summing. The other end's "
    "stack receives the frames at the same time, on another CPU."
)


def bulk(setting: Setting) -> Iterator[Row]:
    """Yields the payload rate of a TCP stream through VXLAN with outer checksums, by wall time."""
    native = native_for(engine.__file__)
    if native.library is None:
        raise LabError(f"there is no soft NIC in C: {native.says}")
    seconds = 0.5 if setting.quick else 3.0
    with contextlib.ExitStack() as undo:
        labs = {name: undo.enter_context(_lab(kind)) for kind, name in _ENGINES.items()}
        found = setting.in_turn(
            {name: partial(_gbit, hosts, seconds) for name, hosts in labs.items()}
        )
    ours, theirs = (Side(name, values) for name, values in found.items())
    what = "soft NIC, TCP through VXLAN, all offloads on"
    yield Row(what, "Gbit/s", ours, _LIMIT, bar=Bar("value", "at least", 2))
    yield Row(f"{what}, against pure Python", "Gbit/s", ours, _LIMIT, theirs, at_least(5))


@contextlib.contextmanager
def _lab(kind: str) -> Iterator[tuple[str, str]]:
    """Yields the namespaces of two hosts with a tunnel between them."""
    before = os.environ.pop(SWITCH, None)
    if kind == "python":
        os.environ[SWITCH] = "off"  # for the processes that the lab starts
    try:
        lab = loopback.start(_two_hosts())
    finally:
        os.environ.pop(SWITCH, None)
        if before is not None:
            os.environ[SWITCH] = before
    with lab:
        one, other = lab.record.namespace("alpha"), lab.record.namespace("bravo")
        make_end(one, 1)
        make_end(other, 2)
        yield one, other


def _two_hosts() -> Topology:
    def host(number: int) -> dict[str, object]:
        return {"nics": {"port0": {"interface": "port0", "underlay": [f"{underlay(number)}/24"]}}}

    return Topology.model_validate(
        {
            "version": 1,
            "hosts": {"alpha": host(1), "bravo": host(2)},
            "pairs": {"soft": {"dut": "alpha.port0", "peer": "bravo.port0"}},
            "lab": {"kind": "loopback"},
        }
    )


def _gbit(hosts: tuple[str, str], seconds: float) -> float:
    """Returns Gbit/s of one stream's payload from one host to the other."""
    receiving = inside(hosts[1], own_code("bench.softnic", "receive"))
    with started(receiving, keep=True) as receiver:
        while "listening" not in receiver.errors():
            if receiver.over():
                raise LabError(
                    f"the receiver ended before it listened: {receiver.errors().strip()[-300:]}"
                )
            time.sleep(0.005)
        run(inside(hosts[0], own_code("bench.softnic", "send", str(seconds))))
        return float(receiver.finish().output)


def _receive() -> float:
    with socket.create_server((address(2), PORT)) as server:
        print("listening", file=sys.stderr, flush=True)
        stream, _ = server.accept()
        with stream:
            buffer, total, start = bytearray(_AT_ONCE), 0, time.monotonic()
            # With MSG_TRUNC a TCP socket drops the bytes without copying them, tcp(7).
            while count := stream.recv_into(buffer, _AT_ONCE, socket.MSG_TRUNC):
                total += count
            return total * 8e-9 / (time.monotonic() - start)


def _send(seconds: float) -> None:
    with socket.create_connection((address(2), PORT)) as stream, tempfile.TemporaryFile() as data:
        data.truncate(_AT_ONCE)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            os.sendfile(stream.fileno(), data.fileno(), 0, _AT_ONCE)


if __name__ == "__main__":
    if sys.argv[1] == "receive":
        print(_receive())
    else:
        _send(float(sys.argv[2]))
