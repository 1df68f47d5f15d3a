"""A link that is set down and up, and the host, which has everything again."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest

from qualification.agent.host import journal, link_snapshot, links
from qualification.agent.orders.undos import UNDOS
from qualification.messages.protocol import AgentProblem

pytestmark = pytest.mark.lab

FOUR, SIX = "198.18.0.1/24", "fd00:18::1/64"
FOREIGN = (
    ("address", "add", "192.0.2.9/24", "dev", "w0"),
    ("address", "add", "2001:db8::9/64", "dev", "w0"),
    ("address", "add", "2001:db8:1::9/128", "dev", "w0", "nodad", "noprefixroute"),
    ("address", "add", "fe80::99/64", "dev", "w0", "nodad"),
    ("address", "add", "2001:db8:2::1", "peer", "2001:db8:2::2/128", "dev", "w0", "nodad"),
    ("route", "add", "203.0.113.0/24", "via", "192.0.2.1", "dev", "w0", "metric", "7"),
    ("route", "add", "default", "via", "192.0.2.1", "dev", "w0"),
    ("route", "add", "198.51.100.0/24", "dev", "w0", "scope", "link", "table", "99"),
    ("-6", "route", "add", "2001:db8:9::/48", "via", "2001:db8::1", "dev", "w0", "metric", "77"),
    ("-6", "route", "add", "default", "via", "fe80::1", "dev", "w0"),
    ("neighbour", "add", "192.0.2.1", "lladdr", "02:00:00:00:00:99", "dev", "w0"),
    ("neighbour", "add", "2001:db8::1", "lladdr", "02:00:00:00:00:99", "dev", "w0"),
)


def state(host: Any) -> list[list[str]]:
    """Returns everything that a link can lose, sorted: what was restored comes last otherwise."""
    what = (
        ("-d", "link"),
        ("address",),
        ("route", "show", "table", "all"),
        ("-6", "route", "show", "table", "all"),
        ("neighbour", "show", "nud", "permanent"),
    )
    found = [host.ip(*some) for some in what]
    # A link that was up once has a queue.
    return [sorted(re.sub(r"qdisc no\w+ ", "", text).splitlines()) for text in found]


def furnish(host: Any, until: Any) -> None:
    for command in FOREIGN:
        host.ip(*command)
    # It is stacked on the link, as a VLAN is.
    host.ip("link", "add", "link", "w0", "name", "above", "type", "macvlan")
    host.ip("link", "set", "above", "up")
    host.ip("address", "add", "2001:db8:7::1/64", "dev", "above", "nodad")
    until(lambda: "tentative" not in host.ip("address"))


def test_all_is_there_again(net: Any, local_agent: Any, until: Any, journals: Path) -> None:
    host, _ = net.wire()
    furnish(host, until)
    before = state(host)
    assert len(before[1]) > 15
    agent = local_agent(host)
    agent("prepare", interface="w0", addresses=[FOUR, SIX], allow_management=False)
    prepared = state(host)
    downs = int(host.run("cat", "/sys/class/net/w0/carrier_down_count"))
    agent("flap")
    assert "tentative" not in host.ip("address", "show", "dev", "w0")
    assert state(host) == prepared
    assert int(host.run("cat", "/sys/class/net/w0/carrier_down_count")) > downs
    assert agent("bye") == [
        f"address interface=w0 address={SIX}",
        f"address interface=w0 address={FOUR}",
    ]
    until(lambda: state(host) == before)
    assert not journals.exists()


def test_a_link_without_an_address_of_its_own_gets_none(
    net: Any, local_agent: Any, until: Any
) -> None:
    """The link-local address was removed by hand; the kernel adds a new one with the link up."""
    host, _ = net.wire()
    host.run("sysctl", "-qw", "net.ipv6.conf.w0.addr_gen_mode=0")
    host.ip("link", "set", "w0", "down")
    host.ip("link", "set", "w0", "up")
    until(lambda: "fe80" in host.ip("address", "show", "dev", "w0"))
    host.ip("address", "flush", "dev", "w0")
    before = state(host)
    agent = local_agent(host)
    agent("prepare", interface="w0", addresses=[], allow_management=False)
    agent("flap")
    assert state(host) == before


def test_a_link_that_does_not_come_back(
    net: Any, local_agent: Any, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is an error, and the host is restored as far as possible."""
    host, other = net.wire()
    furnish(host, until)
    before = state(host)
    agent = local_agent(host)
    agent("prepare", interface="w0", addresses=[SIX], allow_management=False)
    monkeypatch.setattr(links, "CARRIER_SECONDS", 0.1)
    other.ip("link", "set", "w0", "down")
    with pytest.raises(AgentProblem) as refused:
        agent("flap")
    assert refused.value.kind == "no-link"
    other.ip("link", "set", "w0", "up")
    assert agent("bye") == [
        "link-snapshot interface=w0",
        f"address interface=w0 address={SIX}",
    ]
    until(lambda: state(host) == before)


def test_an_agent_that_dies_with_the_link_down(
    net: Any, local_agent: Any, until: Any, journals: Path
) -> None:
    """The next agent sets the link up, and restores what the first one has written down."""
    host, _ = net.wire()
    furnish(host, until)
    before = state(host)
    with host.inside():
        number = os.stat("/proc/thread-self/ns/net").st_ino  # noqa: PTH116
        dying = journal.Journal(f"{number}-w0", UNDOS)
        numbers, there = link_snapshot.record("w0")
        dying.about_to("link-snapshot", interface="w0", numbers=numbers, there=there)
        dying.about_to("link", interface="w0", up=True)
        links.set_up("w0", False)
        os.close(dying._file)  # as death does
    assert state(host) != before
    agent = local_agent(host)
    answer = agent("prepare", interface="w0", addresses=[], allow_management=False)
    assert answer["recovered"] == ["link interface=w0 up=True", "link-snapshot interface=w0"]
    until(lambda: state(host) == before)
    assert agent("bye") == []


def test_links_that_are_left_alone(
    net: Any, local_agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, _ = net.wire()
    host.ip("address", "add", "192.0.2.1/24", "dev", "w0")
    host.ip("nexthop", "add", "id", "7", "via", "192.0.2.7", "dev", "w0")
    host.ip("route", "add", "203.0.113.0/24", "nhid", "7")
    before = state(host)
    agent = local_agent(host)
    agent("prepare", interface="w0", addresses=[], allow_management=False)
    with pytest.raises(AgentProblem) as refused:
        agent("flap")
    assert refused.value.kind == "too-much-to-lose"
    host.ip("route", "del", "203.0.113.0/24")
    monkeypatch.setenv("VXQUAL_SSH_CONNECTION", "192.0.2.7 40000 192.0.2.1 22")
    with pytest.raises(AgentProblem, match="carries our own SSH session"):
        agent("flap")
    host.ip("route", "add", "203.0.113.0/24", "nhid", "7")
    assert agent("bye") == []
    assert state(host) == before


def test_another_interface_of_that_name_is_left_alone(net: Any) -> None:
    host, _ = net.wire()
    host.ip("address", "add", "2001:db8::9/64", "dev", "w0", "nodad")
    with host.inside():
        numbers, there = link_snapshot.record("w0")
        host.ip("link", "set", "w0", "name", "x0")
        net.cable(host, "w0", net.host(), "w0")
        with pytest.raises(AgentProblem) as refused:
            link_snapshot.put_back("w0", numbers, there)
    assert refused.value.kind == "no-such-interface"
