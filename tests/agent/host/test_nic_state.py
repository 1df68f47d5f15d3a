"""The state of a NIC, before and after: what somebody else has changed is told, with its values."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from qualification.agent.host import links, nic_state
from qualification.agent.host.journal import Journal
from qualification.agent.orders.undos import UNDOS, UNDOS_BY_HAND, write_state
from qualification.messages.closing import left_changed
from qualification.messages.protocol import AgentProblem
from tests.agent.host.test_link_snapshot import furnish

pytestmark = pytest.mark.lab

CHANGES: list[tuple[tuple[str, ...], str]] = [
    (("ip", "link", "set", "w0", "mtu", "1400"), "MTU is 1400, and was 1500"),
    (("ethtool", "-K", "w0", "rx", "off"), "feature rx-checksum is off, and was on"),
    (("ethtool", "-L", "w0", "rx", "2", "tx", "2"), "channels rx is 2, and was 1"),
    (("ip", "address", "add", "192.0.2.77/24", "dev", "w0"),
     "address 192.0.2.77/24 was added"),
    (("ip", "neigh", "add", "192.0.2.78", "lladdr", "02:00:00:00:00:09", "dev", "w0"),
     "neighbour 192.0.2.78 was added (02:00:00:00:00:09)"),
    (("ip", "route", "add", "203.0.113.0/24", "dev", "w0"),
     "route 203.0.113.0/24 metric 0 was added (via -)"),
    (("tc", "qdisc", "add", "dev", "w0", "clsact"), "qdisc clsact was added"),
    (("tc", "qdisc", "replace", "dev", "w0", "root", "pfifo"), "qdisc root is pfifo, and was "),
    (("sysctl", "-qw", "net.ipv6.conf.w0.mtu=1300"), "MTU of IPv6 is 1300, and was 1500"),
    (("ip", "link", "set", "w0", "down"), "link is down, and was up"),
]  # fmt: skip
BY_HAND = ("MTU", "feature", "channels", "link", "MTU of IPv6")


@pytest.fixture
def host(net: Any) -> Any:
    left, right = net.host(), net.host()
    left.ip(
        *("link", "add", "w0", "numtxqueues", "4", "numrxqueues", "4", "type", "veth"),
        *("peer", "name", "w0", "netns", right.name),
    )
    for one in (left, right):
        one.ip("link", "set", "w0", "up")
    left.run("ethtool", "-L", "w0", "rx", "1", "tx", "1")
    return left


@pytest.mark.parametrize(("change", "told"), CHANGES, ids=[" ".join(c[0]) for c in CHANGES])
def test_each_change_is_told_and_put_back_by_hand_as_far_as_it_can_be(
    host: Any, change: tuple[str, ...], told: str
) -> None:
    with host.inside():
        before = nic_state.read("w0")
        index = links.index_of("w0")
        assert nic_state.compare("w0", index, before) is False
        try:
            host.run(*change)
        except AssertionError as error:
            pytest.skip(f"this kernel cannot do that: {error}")
        with pytest.raises(AgentProblem) as raised:
            nic_state.compare("w0", index, before)
        assert raised.value.kind == "left-changed"
        assert told in str(raised.value)
        if told.startswith(BY_HAND):
            assert told in str(nic_state.put_back("w0", index, before))
            assert nic_state.compare("w0", index, before) is False
            assert nic_state.put_back("w0", index, before) is False
        else:
            with pytest.raises(AgentProblem, match=r"was added|and was"):
                nic_state.put_back("w0", index, before)


def test_another_interface_of_the_name_is_not_compared(host: Any, net: Any) -> None:
    with host.inside():
        before, index = nic_state.read("w0"), links.index_of("w0")
        host.ip("link", "del", "w0")
        net.cable(host, "w0", host, "x0")
        with pytest.raises(AgentProblem) as raised:
            nic_state.compare("w0", index, before)
    assert raised.value.kind == "no-such-interface"


def test_a_host_of_which_much_is_known_is_the_same_a_moment_later(net: Any, until: Any) -> None:
    host, _ = net.wire()
    furnish(host, until)
    with host.inside():
        before = nic_state.read("w0")
        assert nic_state.differences(before, nic_state.read("w0")) == []
        for part in ("link", "feature", "address", "neighbour", "route"):
            assert before[part], part


def test_what_a_dead_agent_left_is_told_until_it_is_put_back(host: Any, journals: Path) -> None:
    with host.inside():
        dying = Journal("1-w0", UNDOS)
        write_state(dying, "w0")
        os.close(dying._file)  # as its death does
        host.ip("link", "set", "w0", "mtu", "1400")
        for _ in range(2):  # by each agent that comes
            journal = Journal("1-w0", UNDOS)
            for report in (journal.recovered, journal.close()):
                assert "w0: MTU is 1400, and was 1500" in left_changed(report)[0]
        restored = Journal("1-w0", UNDOS_BY_HAND)
        [line] = restored.recovered
        assert line.startswith("state interface=w0: MTU is 1400, and was 1500")
        assert restored.close() == []
        assert links.find("w0").get("mtu") == 1500
    assert not list(journals.glob("*"))


def prepare(agent: Any, *addresses: str) -> Any:
    return agent("prepare", interface="w0", addresses=list(addresses), allow_management=False)


def test_a_difference_is_in_the_closing_report_and_the_next_run_is_refused(
    net: Any, local_agent: Any, journals: Path
) -> None:
    host, _ = net.wire()
    agent = local_agent(host)
    prepare(agent, "198.18.0.1/24")
    host.ip("link", "set", "w0", "mtu", "1400")
    told = "w0: MTU is 1400, and was 1500"
    report = agent("bye")
    [line] = left_changed(report)
    assert line.startswith(told)
    assert "address interface=w0 address=198.18.0.1/24" in report
    another = local_agent(host)
    with pytest.raises(AgentProblem, match=f"left changed by an earlier run: {told}") as refused:
        prepare(another)
    assert "vxqual restore" in str(refused.value.hint)
    host.ip("link", "set", "w0", "mtu", "1500")
    assert left_changed(another("bye")) == []
    assert not list(journals.glob("*"))


@pytest.mark.parametrize("when", ["at the end", "before a reset", "before a change of the MTU"])
def test_a_link_that_somebody_takes_down_is_not_left_down(
    net: Any, local_agent: Any, when: str
) -> None:
    host, _ = net.wire()
    agent = local_agent(host)
    prepare(agent)
    host.ip("link", "set", "w0", "down")
    if when != "at the end":
        agent("flap" if "reset" in when else "change_mtu")
        assert "state UP" in host.ip("link", "show", "w0")
    report = agent("bye")
    assert left_changed(report) == []
    assert ("link interface=w0 up=True" in report) == (when == "at the end")
    assert "state UP" in host.ip("link", "show", "w0")


def test_a_link_that_was_down_is_down_again(net: Any, local_agent: Any) -> None:
    host, other = net.wire(up=False)
    other.ip("link", "set", "w0", "up")
    agent = local_agent(host)
    prepare(agent, "198.18.0.1/24", "fd00:18::1/64")
    assert left_changed(agent("bye")) == []
    assert "state DOWN" in host.ip("link", "show", "w0")
