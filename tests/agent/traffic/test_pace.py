"""Senders keep a pace, whatever they send."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from typing import Any

import pytest

from qualification.agent.traffic import pace as paces
from qualification.agent.traffic.pace import Pace, quiet_seconds
from qualification.agent.traffic.prepared_set import PreparedSet
from qualification.agent.traffic.raw_sockets import RawSockets
from qualification.agent.traffic.receiving import Receiver
from qualification.agent.traffic.sending import send
from qualification.messages.bursts import FlowOrder

from .test_bursts import TCP, UDP, never, port  # noqa: F401  (a fixture)


class Clock:
    def __init__(self) -> None:
        self.now, self.slept = 100.0, 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now, self.slept = self.now + seconds, self.slept + seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(paces, "time", made)
    return made


def test_a_pace_is_kept(clock: Clock) -> None:
    pace = Pace(1_000)
    for sent in range(1, 2_001):
        pace.after(sent)
    assert 1.99 < clock.slept <= 2.0


def test_no_pace_never_waits(clock: Clock) -> None:
    Pace(0).after(10**9)
    assert clock.slept == 0


def test_a_delay_is_not_made_up_for_by_a_burst(clock: Clock) -> None:
    """A sender that got no CPU for 50 ms would overrun a queue of 500 at 20,000 frames/s."""
    pace, times = Pace(20_000), []
    for sent in range(1, 3_001):
        if sent == 1_000:
            clock.now += 0.05
        pace.after(sent)
        times.append(clock.now)
    after = times[1_000:]
    at_once = max(sum(begin <= at < begin + 0.0005 for at in after) for begin in after)
    assert at_once <= 150


def test_who_waits_for_a_slow_burst_waits_longer() -> None:
    assert quiet_seconds(0) == 0.25
    assert quiet_seconds(100_000) < 0.26
    assert quiet_seconds(200) > 64 / 200 + 0.25  # two buffers of UDP_SEGMENT


@pytest.mark.parametrize("segmented", [False, True])
def test_datagrams_keep_the_pace(port: int, until: Any, segmented: bool) -> None:  # noqa: F811
    seconds = _sends(replace(UDP, port=port, segmented=segmented, frames=400, pace=1_000), until)
    assert 0.3 < seconds < 2


def test_streams_keep_the_pace(port: int, until: Any) -> None:  # noqa: F811
    """The kernel spaces none of the first ten segments, which are of 64 KiB on this interface."""
    seconds = _sends(replace(TCP, port=port, frames=4_000, pace=10_000), until)
    assert 0.1 < seconds < 2


def _sends(order: FlowOrder, until: Any) -> float:
    """Sends a burst; returns how long that took."""
    receiver = Receiver(order, None)
    try:
        result = send(order, None, never)
        until(lambda: receiver.complete)
    finally:
        delivered = receiver.finish()
    assert delivered.complete and result.complete
    return result.seconds


@pytest.mark.lab
def test_crafted_and_injected_frames_keep_the_pace(net: Any) -> None:
    left, _ = net.wire()
    raw = RawSockets()
    frames = [bytes(range(12)) + b"\x88\xb5" + bytes(46)] * 200
    try:
        with left.inside():
            start = time.monotonic()
            assert raw.inject(frames, "w0", 1_000) == 200
            assert 0.19 < time.monotonic() - start < 1
    finally:
        raw.close()


def test_a_super_packet_counts_as_its_segments(clock: Clock, monkeypatch: Any) -> None:
    class Sent:
        def bind(self, _where: object) -> None: ...

        def send(self, _buffer: object) -> None: ...

    class Super(PreparedSet):
        def __init__(self) -> None: ...

        def buffers(self) -> Any:
            return iter([(memoryview(b""), 45)] * 100)

    raw = RawSockets()
    monkeypatch.setattr(raw, "_of", {None: Sent()})
    assert raw.send_prepared(Super(), "w0", None, 10_000) == 4_500
    assert 0.44 < clock.slept < 0.451


@pytest.mark.lab
def test_few_frames_of_tcp_are_on_the_way_to_a_small_ring(net: Any) -> None:
    left, right = net.wire()
    for host, address in ((left, "10.9.9.1/24"), (right, "10.9.9.2/24")):
        host.ip("addr", "add", address, "dev", "w0")
    few = replace(TCP, source="10.9.9.1", destination="10.9.9.2", port=9, in_flight=40)
    for order, most in ((few, 15 * few.payload), (replace(few, in_flight=0), 1 << 30)):
        with right.inside():
            receiver = Receiver(order, None)
        try:
            with left.inside(), socket.socket() as stream:
                stream.connect((order.destination, order.port))
                info = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
        finally:
            receiver.finish()
        window = int.from_bytes(info[228:232], "little")  # tcpi_snd_wnd (Linux 5.4)
        assert (window > 15 * order.payload) == (most > 15 * order.payload)
