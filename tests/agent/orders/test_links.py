"""Orders that change a link, and the host, which is as it was before."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from qualification.agent.host import link_snapshot, links, mtu, tc_vlan, vlan_device
from qualification.agent.orders.undos import UNDOS
from qualification.messages.host import VlanOrder
from qualification.messages.protocol import AgentProblem
from tests.agent.host.test_link_snapshot import furnish, state

pytestmark = pytest.mark.lab

ORDER = VlanOrder(
    "vxq0123456789ab", 3725, ("198.19.0.1/30", "fd56:584c:1:2::1/64"),
    ("198.19.0.2", "fd56:584c:1:2::2"), "02:00:00:00:00:99",
)  # fmt: skip


def everything(host: Any) -> list[Any]:
    six = host.run("sh", "-c", "cat /proc/sys/net/ipv6/conf/*/mtu")
    filters = [host.run("tc", "filter", "show", "dev", "w0", way) for way in ("ingress", "egress")]
    return [*state(host), six, host.run("tc", "qdisc", "show", "dev", "w0"), *filters]


def prepared(agent: Any) -> None:
    agent("prepare", interface="w0", addresses=[], allow_management=False)


def test_an_mtu_that_changes_and_everything_that_follows_it(
    net: Any, local_agent: Any, until: Any, journals: Path
) -> None:
    host, _ = net.wire()
    furnish(host, until)
    host.ip("route", "add", "2001:db8:a::/48", "via", "2001:db8::1", "dev", "w0", "mtu", "1500")
    host.ip("-6", "route", "add", "2001:db8:b::/48", "via", "2001:db8::1", "mtu", "lock", "9000")
    host.run("sh", "-c", "echo 1400 > /proc/sys/net/ipv6/conf/w0/mtu")
    before = everything(host)
    agent = local_agent(host)
    prepared(agent)
    agent("change_mtu")
    assert everything(host) == before
    assert not agent("bye")
    assert not list(journals.glob("*"))


def test_an_mtu_is_put_back_by_the_next_agent(net: Any, until: Any) -> None:
    host, _ = net.wire()
    furnish(host, until)
    before = everything(host)
    with host.inside():
        numbers, there = link_snapshot.record("w0")
        was = mtu.record(numbers)
        mtu.change("w0", mtu.larger("w0"), there)
        assert links.find("w0").get("mtu") == 1564
        assert everything(host) != before
        mtu.put_back("w0", was)
    assert everything(host) == before


def test_a_route_whose_mtu_would_change_is_left_alone(net: Any, local_agent: Any) -> None:
    host, _ = net.wire()
    host.ip("address", "add", "2001:db8::9/64", "dev", "w0", "nodad")
    host.ip("route", "add", "2001:db8:a::/48", "via", "2001:db8::1", "dev", "w0", "mtu", "9000")
    before = everything(host)
    agent = local_agent(host)
    prepared(agent)
    with pytest.raises(AgentProblem, match="larger MTU than its own"):
        agent("change_mtu")
    agent("bye")
    assert everything(host) == before


def test_a_nic_that_takes_no_larger_mtu(net: Any, local_agent: Any) -> None:
    host, _ = net.wire()
    host.ip("link", "set", "w0", "mtu", "65535")
    agent = local_agent(host)
    prepared(agent)
    with pytest.raises(AgentProblem, match="allows no larger MTU than 65535"):
        agent("change_mtu")


@pytest.fixture(params=["as the kernel can", "without VLAN devices"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both implementations of tags, if the kernel has both."""
    if request.param != "as the kernel can":
        monkeypatch.setattr(vlan_device, "_KIND", "no such kind")
    return str(request.param)


@pytest.mark.parametrize("filters", [False, True])
def test_a_tagged_underlay_that_comes_and_goes(
    net: Any, local_agent: Any, until: Any, journals: Path, kernel: str, filters: bool
) -> None:
    host, _ = net.wire()
    furnish(host, until)
    if filters:  # of another user
        host.run("tc", "qdisc", "add", "dev", "w0", "clsact")
    before = everything(host)
    agent = local_agent(host)
    prepared(agent)
    for _ in range(2):
        agent("tag", vlan=asdict(ORDER))
        assert "198.19.0.1/30" in host.ip("address")
        assert "02:00:00:00:00:99" in host.ip("neighbour", "show", "198.19.0.2")
        agent("untag")
        assert everything(host) == before
    agent("tag", vlan=asdict(ORDER))
    agent("bye")
    assert everything(host) == before
    assert not list(journals.glob("*"))


def test_a_tagged_underlay_is_removed_by_the_next_agent(net: Any, until: Any, kernel: str) -> None:
    host, _ = net.wire()
    furnish(host, until)
    before = everything(host)
    with host.inside():
        vlan_device.make("w0", ORDER)
        undo = {"addresses": list(ORDER.addresses), "neighbours": list(ORDER.neighbours)}
        for _ in range(2):  # the second finds nothing to undo, and succeeds
            UNDOS["vlan"](interface="w0", name=ORDER.name, clsact=False, **undo)
    assert everything(host) == before


def test_what_the_host_has_already_is_not_touched(net: Any, local_agent: Any) -> None:
    host, _ = net.wire()
    agent = local_agent(host)
    prepared(agent)
    before = everything(host)
    host.ip("address", "add", "198.19.0.2/24", "dev", "lo")
    with pytest.raises(AgentProblem, match=r"has an address in 198.19.0.0/30"):
        agent("tag", vlan=asdict(ORDER))
    host.ip("address", "del", "198.19.0.2/24", "dev", "lo")
    host.ip("link", "add", ORDER.name, "type", "bridge")
    with pytest.raises(AgentProblem, match="that is not ours"):
        agent("tag", vlan=asdict(ORDER))
    host.ip("link", "del", ORDER.name)
    agent("bye")
    assert everything(host) == before


def test_the_programs_are_of_whole_instructions_and_leave_by_themselves() -> None:
    for program in (tc_vlan.pushing(0xC6130002, (0xFD56584C, 7), 3725), tc_vlan.popping(3725)):
        assert len(program) % 8 == 0
        codes = program[::8]
        assert codes[-1] == 0x95  # exit
        for at, code in enumerate(codes):
            jump = int.from_bytes(program[at * 8 + 2 : at * 8 + 4], "little", signed=True)
            if code in (0x05, 0x15, 0x56):
                assert at < at + 1 + jump < len(codes)
