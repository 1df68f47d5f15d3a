"""gRPC calls through a tunnel of the loopback lab, for comparison with the agent's own calls.

    python -m tests.remote.pair.grpc_calls

The hosts of the loopback lab are namespaces of this machine. A process here can therefore enter
the tunnel namespace of an agent. That namespace has no name; it is opened through the agent's own
file descriptor of it. The agent itself does not use gRPC. This module needs `grpcio`.

The process reads one `_Part` as a line of JSON. A server prints "ready" and ends when its standard
input is closed; a client makes its calls and prints their results.
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
from qualification.agent.traffic.calls.client import CorruptAnswer, make_calls
from qualification.errors import LabError
from qualification.messages.calls import Calls, CallsOrder

_SERVICE, _METHOD = "vxqual.Calls", "Echo"
_PATIENCE = 30.0
"""Seconds that a server may take to end, or that a client may take beyond its order's time."""


@dataclass(frozen=True)
class _Part:
    """The task of one process in a namespace: to serve the calls of an order, or to make them."""

    namespace: str
    order: CallsOrder
    serve: bool


_PART = TypeAdapter(_Part)
_CALLS = TypeAdapter(Calls)


def tunnel_namespace(agent: int) -> Path:
    """Returns the path of the tunnel namespace of an agent on this machine.

    Args:
        agent: Process id of the agent.

    Raises:
        LabError: The agent has no tunnel namespace.
    """
    process = Path(f"/proc/{agent}")
    home = (process / "ns/net").readlink()
    for descriptor in (process / "fd").iterdir():
        with contextlib.suppress(
            FileNotFoundError
        ):  # the descriptor of the directory listing itself
            target = descriptor.readlink()
            if str(target).startswith("net:[") and target != home:
                return descriptor
    raise LabError(f"the agent with process id {agent} has no tunnel namespace")


@contextlib.contextmanager
def serving(namespace: Path, order: CallsOrder) -> Iterator[None]:
    """Runs a gRPC server in a namespace, on the destinations of an order's routes."""
    with _process(_Part(str(namespace), order, serve=True)) as server:
        assert server.stdin and server.stdout
        if server.stdout.readline() != "ready\n":
            raise LabError("the gRPC server ended before it was ready")
        yield
        server.stdin.close()
        server.wait(_PATIENCE)


def call(namespace: Path, order: CallsOrder) -> Calls:
    """Makes the calls of an order from a namespace. The result does not count segments."""
    with _process(_Part(str(namespace), order, serve=False)) as client:
        said, _ = client.communicate(timeout=order.seconds + order.deadline + _PATIENCE)
    if client.returncode:
        raise LabError(f"the gRPC client ended with {client.returncode}")
    return _CALLS.validate_json(said)


@contextlib.contextmanager
def _process(part: _Part) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.remote.pair.grpc_calls"],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        try:
            with contextlib.suppress(
                BrokenPipeError
            ):  # it has ended; the missing answer is reported
                process.stdin.write(json.dumps(asdict(part)) + "\n")
                process.stdin.flush()
            yield process
        finally:
            process.kill()  # has no effect on a process that has ended


class _GrpcChannel:
    """A gRPC channel that does not share its connection with another channel."""

    def __init__(self, grpc: Any, order: CallsOrder, number: int) -> None:
        self._grpc = grpc
        self._target = _target(order.routes[number % len(order.routes)][1], order.port)
        self._channel: Any = None
        self.sent = 0, 0

    def exchange(self, _number: int, request: bytes, _answer: bytes, seconds: float) -> None:
        """Makes one call, as `agent.traffic.calls.client.Channel` says; it is echoed."""
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
        """Closes the channel (see `qualification.agent.traffic.calls.client.Channel`)."""
        if self._channel is not None:
            self._channel.close()
            self._channel = None


def _target(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def main() -> None:
    """Runs the server or the client; see the module's docstring."""
    part = _PART.validate_json(sys.stdin.readline())
    with open(part.namespace, "rb") as file, namespaces.inside(file.fileno()):  # noqa: PTH123
        # Imported inside the namespace, because gRPC's threads stay in the one they start in.
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
