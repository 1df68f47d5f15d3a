"""Real gRPC through a tunnel of the loopback lab, to hold our own calls against.

    python -m qualification.lab.grpc_calls

The hosts of such a lab are namespaces of this machine, so a process here can enter the tunnel
namespace of an agent, which has no name, by the agent's own descriptor of it. The agent knows
nothing of gRPC. It needs `grpcio`, which the extra `grpc` brings.

The process reads a `_Part` as one line of JSON. A server says "ready" and ends with its input; a
client makes its calls and says what came of them.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from qualification.agent.host import namespaces
from qualification.agent.traffic.calls import CorruptAnswer, make_calls
from qualification.errors import LabError
from qualification.messages.calls import Calls, CallsOrder

_SERVICE, _METHOD = "vxqual.Calls", "Echo"
_PATIENCE = 30.0
"""Seconds that a server may take to end, or a client beyond its order's."""


@dataclass(frozen=True)
class _Part:
    """What one process does: `serve` the calls of an order, or make them, in a namespace."""

    namespace: str
    order: CallsOrder
    serve: bool


_PART = TypeAdapter(_Part)
_CALLS = TypeAdapter(Calls)


def tunnel_namespace(agent: int) -> Path:
    """The tunnel namespace of an agent on this machine.

    Args:
        agent: Its process id.

    Raises:
        LabError: It has none.
    """
    process = Path(f"/proc/{agent}")
    home = (process / "ns/net").readlink()
    for descriptor in (process / "fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was that of the listing itself
            target = descriptor.readlink()
            if str(target).startswith("net:[") and target != home:
                return descriptor
    raise LabError(f"the agent with process id {agent} has made no tunnel")


@contextlib.contextmanager
def serving(namespace: Path, order: CallsOrder) -> Iterator[None]:
    """A gRPC server in a namespace, at the destinations of an order's routes."""
    with _process(_Part(str(namespace), order, serve=True)) as server:
        assert server.stdin and server.stdout
        if server.stdout.readline() != "ready\n":
            raise LabError("the gRPC server died at its start")
        yield
        server.stdin.close()
        server.wait(_PATIENCE)


def call(namespace: Path, order: CallsOrder) -> Calls:
    """Makes the calls of an order from a namespace; segments are not told."""
    with _process(_Part(str(namespace), order, serve=False)) as client:
        said, _ = client.communicate(timeout=order.seconds + order.deadline + _PATIENCE)
    if client.returncode:
        raise LabError(f"the gRPC client ended with {client.returncode}")
    return _CALLS.validate_json(said)


@contextlib.contextmanager
def _process(part: _Part) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "qualification.lab.grpc_calls"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        try:
            with contextlib.suppress(BrokenPipeError):  # it has died; its answer will tell
                process.stdin.write(json.dumps(asdict(part)) + "\n")
                process.stdin.flush()
            yield process
        finally:
            process.kill()  # harmless to one that has ended


class _GrpcChannel:
    """A channel of gRPC's own, which shares its connection with no other."""

    def __init__(self, grpc: Any, order: CallsOrder, number: int) -> None:
        self._grpc = grpc
        self._target = _target(order.routes[number % len(order.routes)][1], order.port)
        self._channel: Any = None
        self.sent = 0, 0

    def exchange(self, _number: int, request: bytes, _answer: bytes, seconds: float) -> None:
        """See `qualification.agent.calls.Channel`; the right answer is the request."""
        if self._channel is None:
            options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
            self._channel = self._grpc.insecure_channel(self._target, options)
        echo = self._channel.unary_unary(f"/{_SERVICE}/{_METHOD}")
        try:
            answer = echo(request, timeout=seconds)
        except self._grpc.RpcError as error:
            if error.code() is self._grpc.StatusCode.DEADLINE_EXCEEDED:
                raise TimeoutError from error
            raise ConnectionError(error.details()) from error
        if answer != request:
            raise CorruptAnswer

    def hang_up(self) -> None:
        """See `qualification.agent.calls.Channel`."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def _target(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def main() -> None:
    """Be the server or the client; see the module's text."""
    part = _PART.validate_json(sys.stdin.readline())
    with open(part.namespace, "rb") as file, namespaces.inside(file.fileno()):  # noqa: PTH123
        # Imported in the namespace: its threads stay where they were made.
        import grpc  # noqa: PLC0415

        if not part.serve:
            made = make_calls(
                part.order, lambda number: _GrpcChannel(grpc, part.order, number), lambda: False
            )
            print(_CALLS.dump_json(made).decode())
            return
        server = grpc.server(ThreadPoolExecutor(part.order.channels))
        echo = grpc.unary_unary_rpc_method_handler(lambda request, _context: request)
        handler = grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: echo})
        server.add_generic_rpc_handlers((handler,))
        for address in dict.fromkeys(destination for _, destination in part.order.routes):
            server.add_insecure_port(_target(address, part.order.port))
        server.start()
        print("ready", flush=True)
        sys.stdin.read()
        server.stop(None).wait()


if __name__ == "__main__":
    main()
