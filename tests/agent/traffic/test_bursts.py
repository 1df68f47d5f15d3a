"""Senders and receivers over real sockets on 127.0.0.1."""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from qualification.agent.traffic import sending
from qualification.agent.traffic.payload import CHUNK, PREFACE, Datagrams, Stream, mark, small_size
from qualification.agent.traffic.receiving import Receiver
from qualification.agent.traffic.send_result import SendResult
from qualification.agent.traffic.sending import send
from qualification.messages.bursts import Delivered, FlowOrder

SEED = 0xC0FFEE
UDP = FlowOrder(
    vni=None, protocol="udp", segmented=False, source="127.0.0.1", destination="127.0.0.1",
    port=0, frames=1000, payload=1400, streams=4, seed=SEED, pace=200_000, deadline=10.0,
)  # fmt: skip
TCP = replace(UDP, protocol="tcp", frames=200)


def never() -> bool:
    return False


@pytest.fixture
def port() -> int:
    """Returns a port that is free for both protocols."""
    while True:
        with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            with contextlib.suppress(OSError):
                udp.bind(tcp.getsockname())
                return int(tcp.getsockname()[1])


@pytest.fixture
def receiver(until: Any) -> Iterator[Callable[..., Callable[..., Delivered]]]:
    """`end = receiver(order)`, then `end(received=n)` once so much, or all, was received."""
    receivers: list[Receiver] = []

    def begin(order: FlowOrder) -> Callable[..., Delivered]:
        made = Receiver(order, None)
        receivers.append(made)

        def end(received: int | None = None) -> Delivered:
            until(lambda: made.complete if received is None else made.received >= received)
            receivers.remove(made)
            return made.finish()

        return end

    yield begin
    for left in receivers:
        left.finish()


@pytest.fixture
def udp(port: int) -> Iterator[Callable[..., None]]:
    """`udp(*datagrams)` sends them to the port of the test."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(("127.0.0.1", port))
        yield lambda *datagrams: [sock.send(datagram) for datagram in datagrams]


@pytest.mark.parametrize("family", [4, 6])
def test_datagrams(receiver: Any, port: int, family: int) -> None:
    address = "127.0.0.1" if family == 4 else "::1"
    order = replace(UDP, port=port, source=address, destination=address)
    end = receiver(order)
    sent = send(order, None, never)
    assert (sent.written, sent.complete) == (1000, True)
    assert end() == Delivered(received=1000, corrupt=0, duplicates=0, complete=True)


def test_datagrams_are_of_every_small_size_and_spread_over_sockets(port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sink.settimeout(5)
        sink.bind(("127.0.0.1", port))
        send(replace(UDP, port=port, frames=240), None, never)
        came = [sink.recvfrom(65536) for _ in range(240)]
    numbers = [Datagrams(SEED).sequence_of(data) for data, _ in came]
    assert numbers == list(range(240))
    assert [len(data) for data, _ in came] == [small_size(number) for number in range(240)]
    assert len({source for _, source in came}) == UDP.streams


def test_segmented_datagrams(receiver: Any, port: int) -> None:
    order = replace(UDP, port=port, segmented=True, frames=2000, payload=1000)
    end = receiver(order)
    sent = send(order, None, never)
    assert sent.complete
    assert order.frames <= sent.written < order.frames + 64
    assert end(sent.written) == Delivered(sent.written, 0, 0, complete=True)


class OldKernelSocket(socket.socket):
    """Refuses super-packets, as Linux before 6.11 on a route without checksum offload."""

    def send(self, data: Any, flags: int = 0) -> int:
        if self.getsockopt(17, 103):  # SOL_UDP, UDP_SEGMENT
            raise OSError(errno.EIO, "Input/output error")
        return super().send(data, flags)


def test_datagrams_go_one_by_one_where_the_kernel_refuses_super_packets(
    receiver: Any, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sending, "flow_socket", lambda *_: OldKernelSocket(socket.AF_INET, socket.SOCK_DGRAM)
    )
    order = replace(UDP, port=port, segmented=True)
    end = receiver(order)
    sent = send(order, None, never)
    assert sent.complete
    assert end(sent.written) == Delivered(sent.written, 0, 0, complete=True)


def test_segments_are_full_but_for_the_last_which_is_of_every_length(port: int) -> None:
    order = replace(UDP, port=port, segmented=True, frames=300, payload=1000)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sink.settimeout(5)
        sink.bind(("127.0.0.1", port))
        written = send(order, None, never).written
        came = [sink.recv(65536) for _ in range(written)]
    assert [Datagrams(SEED).sequence_of(data) for data in came] == list(range(written))
    runs = [
        (full, len(list(group))) for full, group in itertools.groupby(len(d) == 1000 for d in came)
    ]
    assert [full for full, _ in runs] == [True, False] * (len(runs) // 2)
    assert all(count == 1 for full, count in runs if not full)
    lasts = [len(data) for data in came if len(data) != 1000]
    assert len(set(lasts)) == len(lasts)
    assert {length % 2 for length in lasts} == {0, 1}
    assert len({count for full, count in runs if full}) > 3


def test_duplicates_and_corruption_are_counted(receiver: Any, udp: Any, port: int) -> None:
    end = receiver(replace(UDP, port=port, frames=8))
    make = Datagrams(SEED).make
    udp(*(make(number, 100) for number in (0, 1, 2, 2, 2, 7, 0)))
    corrupt = bytearray(make(3, 100))
    corrupt[99] ^= 1
    udp(bytes(corrupt), b"", make(4, 100)[:50], Datagrams(SEED + 1).make(5, 100), make(10**6, 100))
    assert end(12) == Delivered(received=12, corrupt=5, duplicates=3, complete=False)


def test_what_is_lost_is_not_complete(receiver: Any, udp: Any, port: int) -> None:
    end = receiver(replace(UDP, port=port, frames=3))
    udp(Datagrams(SEED).make(0, 64), Datagrams(SEED).make(2, 64))
    assert end(2) == Delivered(received=2, complete=False)


def test_order_does_not_matter(receiver: Any, udp: Any, port: int) -> None:
    end = receiver(replace(UDP, port=port, frames=50))
    udp(*(Datagrams(SEED).make(number, 64) for number in reversed(range(50))))
    assert end() == Delivered(received=50, complete=True)


def test_a_deadline_ends_a_slow_burst(receiver: Any, port: int) -> None:
    order = replace(UDP, port=port, frames=100_000, pace=2000, deadline=0.2)
    end = receiver(order)
    sent = send(order, None, never)
    assert not sent.complete
    assert 0.2 <= sent.seconds < 1.0
    assert 0 < sent.written < 2 * 400  # 0.2 s at 2,000 a second
    assert end(sent.written).received == sent.written


def test_a_pace_is_kept(receiver: Any, port: int) -> None:
    order = replace(UDP, port=port, frames=2000, pace=10_000)
    end = receiver(order)
    sent = send(order, None, never)
    assert sent.complete
    assert sent.seconds >= 0.19
    assert end().received == 2000


def test_a_sender_stops_when_asked_to(port: int) -> None:
    stop = threading.Event()
    stop.set()
    sent = send(replace(UDP, port=port), None, stop.is_set)
    assert (sent.written, sent.complete) == (0, False)
    sent = send(replace(TCP, port=port), None, stop.is_set)
    assert (sent.written, sent.complete) == (0, False)


def test_udp_goes_on_without_a_receiver(port: int) -> None:
    sent = send(replace(UDP, port=port, frames=500), None, never)
    assert (sent.written, sent.complete) == (500, True)


def test_streams(receiver: Any, port: int) -> None:
    order = replace(TCP, port=port)
    end = receiver(order)
    sent = send(order, None, never)
    assert sent.complete
    assert sent.written == order.frames * order.payload
    delivered = end()
    assert (delivered.corrupt, delivered.complete) == (0, True)
    assert delivered.received == sent.written + order.streams * PREFACE.size
    assert 1000 < sent.segment < 65536  # the kernel's own segment size


def test_the_receiver_reads_to_the_end_before_it_is_complete(receiver: Any, port: int) -> None:
    """Once `complete` is true, nothing is on its way any more."""
    order = replace(TCP, port=port, frames=5000, streams=8)
    end = receiver(order)
    outcome: list[SendResult] = []
    sender = threading.Thread(target=lambda: outcome.append(send(order, None, never)))
    sender.start()
    delivered = end()
    sender.join()
    assert outcome[0].complete
    assert delivered.received == outcome[0].written + order.streams * PREFACE.size


def stream_bytes(number: int, length: int) -> bytearray:
    stream = Stream(SEED, number)
    body = b"".join(bytes(stream.at(at, min(CHUNK, length - at))) for at in range(0, length, CHUNK))
    return bytearray(PREFACE.pack(mark(SEED), number) + body)


@pytest.mark.parametrize("where", [None, 0, 3, 7, 8, 5000, 149_999])
def test_a_corrupt_byte_in_a_stream_is_noticed(receiver: Any, port: int, where: int | None) -> None:
    end = receiver(replace(TCP, port=port, streams=1))
    data = stream_bytes(0, 150_000)
    if where is not None:
        data[where] ^= 0x10
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.sendall(data)
    delivered = end()
    assert delivered.received == len(data)
    assert (delivered.corrupt > 0) == (where is not None)


def test_a_preface_in_pieces(receiver: Any, port: int, until: Any) -> None:
    order = replace(TCP, port=port, streams=2)
    end = receiver(order)
    with contextlib.ExitStack() as sockets:
        for number in (1, 0):
            sock = sockets.enter_context(socket.create_connection(("127.0.0.1", port)))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            data = stream_bytes(number, 3000)
            for piece in (data[:3], data[3:8], data[8:9], data[9:]):
                sock.sendall(piece)
    delivered = end()
    assert (delivered.corrupt, delivered.complete) == (0, True)
    assert delivered.received == 2 * 3008


def test_a_stream_that_is_reset_was_not_read_to_its_end(receiver: Any, port: int) -> None:
    end = receiver(replace(TCP, port=port, streams=1))
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(stream_bytes(0, 1000))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("@ii", 1, 0))
    sock.close()
    assert not end(0).complete


def test_a_stream_is_cut_off_at_its_deadline(port: int) -> None:
    """With a receiver that reads nothing, the sender must return and leave nothing behind."""
    order = replace(TCP, port=port, streams=2, frames=100_000, deadline=0.3)
    with socket.create_server(("127.0.0.1", port)) as server:
        sent = send(order, None, never)
        assert not sent.complete
        assert 0.3 <= sent.seconds < 1.5
        assert 0 < sent.written < order.frames * order.payload
        for _ in range(2):
            stream, _ = server.accept()
            with stream, pytest.raises(ConnectionResetError):
                while stream.recv(1 << 20):
                    pass


def test_a_refused_stream_is_not_complete(port: int) -> None:
    start = time.monotonic()
    sent = send(replace(TCP, port=port), None, never)
    assert (sent.written, sent.complete) == (0, False)
    assert time.monotonic() - start < 5


def test_finish_does_not_wait_for_what_never_comes(port: int) -> None:
    for order in (replace(UDP, port=port), replace(TCP, port=port)):
        start = time.monotonic()
        assert Receiver(order, None).finish() == Delivered()
        assert time.monotonic() - start < 1
