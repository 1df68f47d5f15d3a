"""Calls over real sockets: answered, missed, broken, changed."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from qualification.agent.traffic.calls import client as calls
from qualification.agent.traffic.calls.client import TcpChannel
from qualification.agent.traffic.calls.server import CallServer
from qualification.messages.calls import Calls, CallsOrder, ChannelCalls, Served

ORDER = CallsOrder(
    routes=(("127.0.0.1", "127.0.0.1"), ("::1", "::1")),
    port=0, channels=4, calls=6, sizes=(100, 1_000_000, 65_521, 1, 0), deadline=10.0, seconds=20.0,
    seed=0xC0FFEE,
)  # fmt: skip
FOUR = (("127.0.0.1", "127.0.0.1"),)


def never() -> bool:
    return False


def make_calls(order: CallsOrder, stop: Callable[[], bool] = never) -> Calls:
    return calls.make_calls(order, lambda number: TcpChannel(order, number, None), stop)


@pytest.fixture
def order() -> CallsOrder:
    """Returns calls to a free port."""
    with socket.socket(socket.AF_INET6) as sock:
        sock.bind(("::", 0))
        return replace(ORDER, port=sock.getsockname()[1])


@pytest.fixture
def server() -> Iterator[Callable[[CallsOrder], CallServer]]:
    with contextlib.ExitStack() as undo:

        def begin(order: CallsOrder) -> CallServer:
            made = CallServer(order, None)
            undo.callback(made.finish)  # harmless when it has ended
            return made

        yield begin


@pytest.fixture
def by_hand(order: CallsOrder) -> Iterator[Callable[[Callable[[bytes], bytes]], None]]:
    """`by_hand(answer)` is a server of one connection that answers as the test says."""
    with socket.create_server(("127.0.0.1", order.port)) as listener:
        threads: list[threading.Thread] = []

        def serve(answer: Callable[[bytes], bytes]) -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(ConnectionResetError):  # by the client's end
                connection.sendall(answer(connection.recv(65536)))
                connection.recv(1)

        def begin(answer: Callable[[bytes], bytes]) -> None:
            threads.append(threading.Thread(target=serve, args=(answer,)))
            threads[-1].start()

        yield begin
        for thread in threads:
            thread.join()


def test_every_call_is_answered(order: CallsOrder, server: Any) -> None:
    serving = server(order)
    made = make_calls(order)
    served = serving.finish()
    assert len(made.channels) == 4
    for channel in made.channels:
        assert len(channel.latencies) == 6
        assert all(0 < seconds < 10 for seconds in channel.latencies)
        assert (channel.missed, channel.broken, channel.corrupt) == (0, 0, 0)
        assert channel.segments > 6
    assert (served.calls, served.corrupt) == (24, 0)
    assert served.segments > 24
    assert max(map(max, (c.latencies for c in made.channels))) <= made.seconds


def test_without_a_server_every_channel_gives_up(order: CallsOrder) -> None:
    made = make_calls(order)
    assert {(c.broken, len(c.latencies)) for c in made.channels} == {(3, 0)}


def test_a_call_without_an_answer_misses_its_deadline(order: CallsOrder) -> None:
    with socket.create_server(("127.0.0.1", order.port)):  # the kernel connects, nobody reads
        made = make_calls(replace(order, routes=FOUR, deadline=0.1))
    assert {(c.missed, c.broken) for c in made.channels} == {(3, 0)}
    assert 0.3 <= made.seconds < 3


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda data: data, ChannelCalls(corrupt=1)),  # a request is no answer
        (lambda data: data[:8], ChannelCalls(missed=1)),
        (lambda _data: b"", ChannelCalls(missed=1)),
    ],
)
def test_a_wrong_answer(
    order: CallsOrder, by_hand: Any, change: Callable[[bytes], bytes], expected: ChannelCalls
) -> None:
    one = replace(order, routes=FOUR, channels=1, calls=1, sizes=(100,), deadline=0.3)
    by_hand(change)
    (channel,) = make_calls(one).channels
    assert replace(channel, segments=0) == expected


def test_one_changed_byte_in_an_answer(order: CallsOrder, server: Any, until: Any) -> None:
    """A relay changes the last byte of the server's answer."""
    one = replace(order, routes=FOUR, channels=1, calls=1, sizes=(100,))
    server(one)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def relay() -> None:
            client, _ = listener.accept()
            with client, socket.create_connection(("127.0.0.1", one.port)) as onward:
                onward.sendall(client.recv(65536))
                answer = bytearray(onward.recv(65536))
                answer[-1] ^= 1
                client.sendall(answer)
                with contextlib.suppress(ConnectionResetError):  # by the client's end
                    client.recv(1)

        thread = threading.Thread(target=relay)
        thread.start()
        (channel,) = make_calls(replace(one, port=listener.getsockname()[1])).channels
        thread.join()
    assert (channel.corrupt, channel.latencies) == (1, ())


def test_a_changed_request_is_counted_and_its_connection_ended(
    order: CallsOrder, server: Any
) -> None:
    serving = server(order)
    with socket.create_connection(("127.0.0.1", order.port)) as client:
        client.sendall(bytes(16))
        client.settimeout(5)
        assert client.recv(1) == b""
    assert serving.finish() == Served(calls=0, corrupt=1)
    # The same is seen by a client with another seed.
    serving = server(order)
    made = make_calls(replace(order, seed=1))
    assert {(c.broken, c.corrupt) for c in made.channels} == {(3, 0)}
    assert serving.finish().corrupt == 12


def test_a_server_ends_in_the_middle_of_a_call(order: CallsOrder, server: Any) -> None:
    serving = server(order)
    with socket.create_connection(("127.0.0.1", order.port)) as client:
        client.sendall(calls.HEADER.pack(calls.MAGIC, order.seed, 0, 100))
        start = time.monotonic()
        serving.finish()
        assert time.monotonic() - start < 2
    assert serving.finish().calls == 0
    server(order)  # the port is free again


@pytest.mark.parametrize("why", ["stop", "seconds"])
def test_it_ends_when_it_is_over(order: CallsOrder, server: Any, why: str) -> None:
    server(order)
    many = replace(order, calls=1_000_000, sizes=(100,), seconds=0.2 if why == "seconds" else 60.0)
    begun = time.monotonic()
    made = make_calls(many, lambda: why == "stop" and time.monotonic() - begun > 0.2)
    assert made.seconds < 5
    assert all(0 < len(channel.latencies) < 1_000_000 for channel in made.channels)


@pytest.mark.lab
def test_segments_and_retransmissions_are_those_of_ss(net: Any, until: Any) -> None:
    left, right = net.wire()
    for host, address in ((left, "198.18.9.1/24"), (right, "198.18.9.2/24")):
        host.ip("addr", "add", address, "dev", "w0")
    with contextlib.ExitStack() as sockets:
        with right.inside():
            listener = sockets.enter_context(socket.create_server(("198.18.9.2", 61001)))
        with left.inside():
            client = sockets.enter_context(socket.create_connection(("198.18.9.2", 61001)))
        connection = sockets.enter_context(listener.accept()[0])
        client.sendall(bytes(10_000))
        calls.read(connection, 10_000, time.monotonic() + 5)
        segments, again = calls.sent_segments(client)
        assert segments >= 7
        right.ip("addr", "del", "198.18.9.2/24", "dev", "w0")  # from now on no host answers
        client.sendall(b"x")
        until(lambda: calls.sent_segments(client)[1] >= again + 2)

        def from_ss() -> tuple[int, int]:
            text = left.run("ss", "-tinH", "dport", "=", "61001")
            out, total = (
                re.search(pattern, text)
                for pattern in (r"data_segs_out:(\d+)", r"retrans:\d+/(\d+)")
            )
            assert out and total, text
            return int(out[1]), int(total[1])

        # A segment may be sent between the two readings.
        until(lambda: calls.sent_segments(client) == from_ss())
