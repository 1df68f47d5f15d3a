"""The ends of a pair and the DUT's offloads, over agents that answer from a script."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any, cast

import pytest

from qualification.errors import HostLeftChangedError, LabError
from qualification.inventory import Role
from qualification.messages.bursts import CaptureResult, Delivered, Received, Sent, Submitted
from qualification.messages.decode import decode
from qualification.plan.flows import Flow
from qualification.remote.agent_client import AgentClient
from qualification.remote.pair.endpoints import Endpoints
from qualification.remote.pair.offloads import Offloads
from qualification.remote.pair.orders import OrderBuilder

from .test_orders import ENDS

FLOW = Flow(4, True, 4, "udp", False, 8472)


class Scripted:
    """An agent that answers each request from a list of its own, or with None.

    It takes the place of an SSH connection and the host behind it.
    """

    host = "alpha"

    def __init__(self, **answers: list[Any]) -> None:
        self.answers: Mapping[str, Iterator[Any]] = {op: iter(a) for op, a in answers.items()}
        self.requests: list[str] = []

    def call(self, op: str, **_args: Any) -> Any:
        self.requests.append(op)
        return next(self.answers[op]) if op in self.answers else None

    def ask(self, answer: type[Any], op: str, **args: Any) -> Any:
        return decode(answer, self.call(op, **args))

    def close(self) -> list[str]:
        return next(self.answers["bye"])


def endpoints(dut: Scripted, peer: Scripted) -> Endpoints:
    agents = cast("dict[Role, AgentClient]", {"dut": dut, "peer": peer})
    return Endpoints("soft", ENDS, agents, OrderBuilder(ENDS, (7,), 1))


def sent(drops: int = 0) -> dict[str, Any]:
    return asdict(Sent(Submitted(9, 9, drops=drops), 9, True, 0.1, {}))


def received(**seen: Any) -> dict[str, Any]:
    return asdict(Received(CaptureResult(frames=9, **seen), Delivered(9), {}))


def burst(dut: list[Any], peer: list[Any]) -> tuple[int, Scripted]:
    agent = Scripted(send=dut)
    ends = endpoints(agent, Scripted(collect=peer))
    found = ends.burst(lambda: ends.orders.tunnel(FLOW, 9))
    return found.received.captured.drops, agent


def test_a_burst_that_captures_lost_frames_of_is_sent_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "vxqual.pair")
    drops, agent = burst([sent(), sent(2), sent()], [received(drops=5), received(), received()])
    assert drops == 0
    assert agent.requests == ["send"] * 3
    first, second = caplog.messages
    assert first == (
        "soft: the captures lost frames (0 on the DUT, 5 on the peer): "
        "sending the burst again, try 2 of 3"
    )
    assert "(2 on the DUT, 0 on the peer)" in second
    assert "try 3 of 3" in second


def test_a_burst_that_a_queue_of_the_kernel_dropped_frames_of_is_sent_more_slowly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "vxqual.pair")
    short = asdict(Sent(Submitted(6, 6), 9, True, 0.001, {}))
    stuck = asdict(Sent(Submitted(8, 8), 9, False, 2.0, {}))
    agent = Scripted(send=[short, stuck, sent()])
    ends = endpoints(agent, Scripted(collect=[received(), received(), received()]))
    paces = []

    def order() -> Any:
        paces.append(ends.orders.pace)
        return ends.orders.tunnel(FLOW, 9)

    assert ends.burst(order).sent.submitted.frames == 9
    # Three quarters of what the sender came to, which is less than the pace; then of the pace.
    assert paces == [100_000, 4_500, 3_375]
    assert ends.orders.pace == 3_375
    assert caplog.messages[0] == (
        "soft: a queue of the DUT's kernel dropped 3 of 9 frames at 100,000 frames/s; "
        "the pace is 4,500 from now on: sending the burst again, try 2 of 3"
    )


def test_a_burst_that_the_peers_sockets_had_no_room_for_is_sent_more_slowly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "vxqual.pair")
    full = asdict(Received(CaptureResult(9), Delivered(6), {"inner.Udp.MemErrors": 3}))
    whole = asdict(Received(CaptureResult(9), Delivered(9, complete=True), {}))
    fast = asdict(Sent(Submitted(9, 9), 9, True, 0.001, {}))
    ends = endpoints(Scripted(send=[fast] * 2), Scripted(collect=[full, whole]))
    assert ends.burst(lambda: ends.orders.tunnel(FLOW, 9)).received.delivered.received == 9
    assert ends.orders.pace == 6_750  # three quarters of what the sender came to
    assert caplog.messages == [
        "soft: the peer's sockets had no room for 3 of 9 datagrams at 100,000 frames/s; "
        "the pace is 6,750 from now on: sending the burst again, try 2 of 3"
    ]


def test_only_ports_that_were_not_submitted_are_kept() -> None:
    whole = Sent(Submitted(9, 9, paths=("50000>5", "50001>6")), 9, True, 0.1, {})
    paths = {"50000>5": 4, "50001>5": 2, "50001>6": 3}
    ends = endpoints(Scripted(send=[asdict(whole)]), Scripted(collect=[received(paths=paths)]))
    found = ends.burst(lambda: ends.orders.tunnel(FLOW, 9))
    assert found.received.captured.paths == {"50001>5": 2}
    assert found.sent.submitted.paths == ()


def test_where_the_tap_lost_buffers_no_port_is_strange() -> None:
    some = asdict(Sent(Submitted(9, 9, drops=1, paths=("50000>5",)), 9, True, 0.1, {}))
    agent = Scripted(send=[some] * 3)
    ends = endpoints(agent, Scripted(collect=[received(paths={"50001>5": 2})] * 3))
    found = ends.burst(lambda: ends.orders.tunnel(FLOW, 9))
    assert found.received.captured.paths == {}


def test_a_burst_without_a_pace_may_overrun_the_queues_of_the_kernel() -> None:
    short = asdict(Sent(Submitted(6, 6), 9, True, 0.001, {}))
    agent = Scripted(send=[short])
    ends = endpoints(agent, Scripted(collect=[received()]))
    loaded = replace(FLOW, load="load")
    assert ends.burst(lambda: ends.orders.tunnel(loaded, 9)).sent.written == 9
    assert ends.orders.pace == 100_000


def test_after_the_last_try_a_burst_is_taken_as_it_is() -> None:
    drops, agent = burst([sent()] * 3, [received(drops=5), received(drops=4), received(drops=3)])
    assert (drops, len(agent.requests)) == (3, 3)


def test_a_burst_with_bad_frames_is_not_sent_again() -> None:
    drops, agent = burst([sent()], [received(drops=5, bad=1)])
    assert (drops, len(agent.requests)) == (5, 1)


def test_a_burst_leaves_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "vxqual.pair")
    burst([sent()], [received(bad=2)])
    assert caplog.messages == [
        "soft: burst to port 20000: 9 frames submitted to the driver, 9 captured, 2 bad"
    ]


def test_an_offload_set_leaves_a_line(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "vxqual.pair")
    on = {"hw": True, "wanted": True, "active": True}
    off = {"hw": True, "wanted": False, "active": False}
    answer = {"tx-checksum-ip-generic": on, "tx-udp_tnl-segmentation": off}
    agent = Scripted(request_features=[answer] * 2)
    offloads = Offloads(endpoints(agent, Scripted()))
    wanted = {"tx-checksum-ip-generic": True, "tx-udp_tnl-segmentation": True}
    offloads.request(wanted)
    assert offloads.active == {"tx-checksum-ip-generic"}
    assert offloads.refused == ("tx-udp_tnl-segmentation",)
    [line] = caplog.messages
    assert line.startswith("soft: offloads of a.p: requested on: tx-checksum-ip-generic, ")
    assert line.endswith(
        "; effective: tx-checksum-ip-generic; refused by the driver: tx-udp_tnl-segmentation"
    )
    offloads.request(wanted)
    assert agent.requests.count("request_features") == 1, "it is in effect already"
    offloads.request_again()
    assert agent.requests.count("request_features") == 2


def test_what_could_not_be_undone_is_an_error_of_the_lab(
    caplog: pytest.LogCaptureFixture,
) -> None:
    left = "could not undo link interface=p1: busy"
    ends = endpoints(Scripted(bye=[[left, "address"]]), Scripted(bye=[["address"]]))
    with pytest.raises(HostLeftChangedError) as e:
        ends.close()
    told = f"host alpha is left changed: {left}"
    assert str(e.value) == f"{told}\n  next: put it back with: vxqual restore TOPOLOGY"
    assert e.value.certain
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", told)
    ]


def test_what_is_left_changed_is_told_beside_the_other_ends_failure() -> None:
    """Whichever of both is closed first, and whatever else goes wrong."""

    class Failing(Scripted):
        def close(self) -> Any:
            raise LabError("the agent died")

    class Silent(Scripted):
        host = "bravo"

        def close(self) -> Any:
            return None

    left = "could not undo link interface=p1: busy"
    for other in (Failing(), Silent()):
        for turned in (False, True):
            both = [Scripted(bye=[[left]]), other]
            with pytest.raises(HostLeftChangedError) as e:
                endpoints(*(reversed(both) if turned else both)).close()
            assert f"host alpha is left changed: {left}" in e.value.what
            assert f"host {other.host} may be left changed: " in e.value.what
            assert e.value.certain


def test_what_an_agent_could_not_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    endpoints(
        Scripted(bye=[["could not end the rings: BufferError: x"]]), Scripted(bye=[[]])
    ).close()
    assert caplog.messages == ["alpha: the agent could not end the rings: BufferError: x"]


def test_an_order_that_went_on_beside_the_undo_leaves_a_doubt() -> None:
    line = "could not end an order: it goes on 15 s after the end"
    with pytest.raises(
        HostLeftChangedError, match="host alpha may be left changed: its agent"
    ) as e:
        endpoints(Scripted(bye=[[line]]), Scripted(bye=[[]])).close()
    assert line in e.value.what
    assert not e.value.certain


def test_a_pair_closes_both_ends_when_one_fails() -> None:
    class Failing(Scripted):
        def close(self) -> list[str]:
            raise LabError("the agent died")

    dut = Scripted(bye=[[]])
    with pytest.raises(HostLeftChangedError, match="may be left changed: the agent died") as e:
        endpoints(dut, Failing()).close()
    assert not e.value.certain
    assert next(dut.answers["bye"], None) is None, "it was closed"
