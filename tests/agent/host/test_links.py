"""The underlay interface: what is found, refused, changed and restored."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any

import pytest

from qualification.agent.host import links, neighbours
from qualification.agent.host.checks.our_session import carries_ssh
from qualification.agent.host.checks.preflight import MIN_MTU
from qualification.messages.protocol import AgentProblem

pytestmark = pytest.mark.lab

_WHAT = (("-d", "link"), ("address",), ("route",), ("-6", "route"))
FOUR, SIX = "198.18.0.1/24", "fd00:18::1/64"


def never() -> bool:
    return False


def look(agent: Any, interface: str = "w0", *addresses: str, allow: bool = False) -> list[Any]:
    found = agent("preflight", interface=interface, addresses=addresses, allow_management=allow)
    return [problem["kind"] for problem in found]


def state(host: Any) -> list[str]:
    """Returns everything that an agent could have changed on a host."""
    return [
        # A link has the qdisc "noop" until it is up for the first time.
        *(host.ip(*what).replace("qdisc noop ", "qdisc noqueue ") for what in _WHAT),
        host.run("ethtool", "-k", "w0"), host.run("cat", "/proc/net/udp", "/proc/net/udp6"),
    ]  # fmt: skip


def test_no_such_interface_says_which_there_are(net: Any, local_agent: Any) -> None:
    host, _ = net.wire()
    net.cable(host, "x1", host, "x0")
    with host.inside(), pytest.raises(AgentProblem) as refused:
        links.find("eth9")
    assert refused.value.kind == "no-such-interface"
    assert "eth9" in refused.value.message
    assert refused.value.hint == "this host has: w0, x0, x1"
    assert refused.value.data == {"interfaces": ["w0", "x0", "x1"]}
    # There is nothing else to report about an interface that does not exist.
    assert look(local_agent(host), "eth9", FOUR) == ["no-such-interface"]


def test_a_host_without_interfaces_says_so(net: Any) -> None:
    with net.host().inside(), pytest.raises(AgentProblem) as refused:
        links.find("eth0")
    assert refused.value.hint == "this host has: none but lo"


@pytest.mark.parametrize("address", [FOUR, SIX, "198.18.0.1/31", "fd00:18::1/127"])
def test_an_address_comes_and_goes(net: Any, address: str) -> None:
    host, _ = net.wire()
    before = state(host)
    with host.inside():
        links.add_address("w0", address)
        links.await_addresses("w0", [address])
        assert address in links.addresses(links.find("w0")["index"])
        assert f" {address} " in host.ip("address", "show", "dev", "w0")
        assert "tentative" not in host.ip("address", "show", "dev", "w0")
        assert links.owner_of(address.split("/", maxsplit=1)[0]) == "w0"
        links.remove_address("w0", address)
        links.remove_address("w0", address)  # it may be gone already
        assert links.owner_of(address.split("/", maxsplit=1)[0]) is None
    assert state(host) == before


def test_prepare_and_bye(net: Any, local_agent: Any, until: Any) -> None:
    host, _ = net.wire(up=False)
    host.ip("address", "add", "192.0.2.9/32", "dev", "w0")
    _.ip("link", "set", "w0", "up")
    before = state(host)
    agent = local_agent(host)
    answer = agent("prepare", interface="w0", addresses=[FOUR, SIX], allow_management=False)
    assert answer == {"recovered": [], "mac": host.mac("w0")}
    assert "LOWER_UP" in host.ip("link", "show", "w0")
    there = host.ip("address", "show", "dev", "w0")
    assert all(f" {address} " in there for address in (FOUR, SIX, "192.0.2.9/32"))
    assert agent("bye") == [
        f"address interface=w0 address={SIX}",
        f"address interface=w0 address={FOUR}",
        "link interface=w0 up=False",
    ]
    until(lambda: state(host) == before)


def test_what_was_there_stays(net: Any, local_agent: Any) -> None:
    host, _ = net.wire()
    host.ip("address", "add", FOUR, "dev", "w0")
    host.ip("address", "add", SIX, "dev", "w0", "nodad")
    before = state(host)
    agent = local_agent(host)
    agent("prepare", interface="w0", addresses=[FOUR, SIX], allow_management=False)
    assert agent("bye") == []
    assert state(host) == before


@pytest.mark.parametrize("address", [FOUR, SIX])
def test_another_interface_of_the_host_has_the_address(
    net: Any, local_agent: Any, address: str
) -> None:
    host, _ = net.wire()
    net.cable(host, "x0", net.host(), "x0")
    host.ip("address", "add", address, "dev", "x0")
    assert look(local_agent(host), "w0", address) == ["address-taken"]
    with host.inside(), pytest.raises(AgentProblem, match="x0 of this host carries it") as refused:
        links.check_address_free("w0", address)
    assert address in refused.value.message
    with host.inside():
        links.check_address_free("x0", address)  # its own it may have


def test_another_host_answers_for_the_address(net: Any, local_agent: Any) -> None:
    host, other = net.wire()
    other.ip("address", "add", FOUR, "dev", "w0")
    before = state(host)
    agent = local_agent(host)
    assert look(agent, "w0", FOUR) == ["address-taken"]
    assert look(agent, "w0", "198.18.0.2/24") == []
    with pytest.raises(AgentProblem, match=f"{other.mac('w0')} answers for it"):
        agent("prepare", interface="w0", addresses=["198.18.0.2/24", FOUR], allow_management=False)
    agent("bye")
    assert state(host) == before


def test_only_a_link_that_is_up_shows_who_has_an_address(net: Any, local_agent: Any) -> None:
    host, other = net.wire(up=False)
    other.ip("address", "add", FOUR, "dev", "w0")
    other.ip("link", "set", "w0", "up")
    before = state(host)
    agent = local_agent(host)
    assert look(agent, "w0", FOUR) == []
    with pytest.raises(AgentProblem) as refused:
        agent("prepare", interface="w0", addresses=[FOUR], allow_management=False)
    assert refused.value.kind == "address-taken"
    assert agent("bye") == ["link interface=w0 up=False"]
    assert state(host) == before


def test_ipv6_duplicate_address_detection(net: Any, local_agent: Any) -> None:
    host, other = net.wire()
    other.ip("address", "add", SIX, "dev", "w0", "nodad")
    before = state(host)
    agent = local_agent(host)
    with pytest.raises(AgentProblem, match="another host on the link answers for it") as refused:
        agent("prepare", interface="w0", addresses=[SIX], allow_management=False)
    assert refused.value.kind == "address-taken"
    assert agent("bye") == [f"address interface=w0 address={SIX}"]
    assert state(host) == before


def test_mtu_too_small(net: Any, local_agent: Any) -> None:
    host, _ = net.wire()
    agent = local_agent(host)
    host.ip("link", "set", "w0", "mtu", str(MIN_MTU))
    assert look(agent) == []
    host.ip("link", "set", "w0", "mtu", str(MIN_MTU - 1))
    [problem] = agent("preflight", interface="w0", addresses=[], allow_management=False)
    assert problem["kind"] == "mtu-too-small"
    assert str(MIN_MTU) in problem["message"]
    assert str(MIN_MTU - 1) in problem["message"]


def test_no_link(net: Any, local_agent: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    host, _ = net.wire(up=False)
    agent = local_agent(host)
    assert look(agent) == []  # down: whether there is a cable, only setting it up will tell
    monkeypatch.setattr(links, "CARRIER_SECONDS", 0.1)
    before = state(host)
    with pytest.raises(AgentProblem) as refused:
        agent("prepare", interface="w0", addresses=[], allow_management=False)
    assert refused.value.kind == "no-link"
    assert agent("bye") == ["link interface=w0 up=False"]
    assert state(host) == before
    host.ip("link", "set", "w0", "up")
    assert look(local_agent(host)) == ["no-link"]


def test_preflight_reports_all_at_once_and_changes_nothing(
    net: Any, local_agent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, other = net.wire()
    host.ip("address", "add", "192.0.2.1/24", "dev", "w0")
    other.ip("address", "add", FOUR, "dev", "w0")
    net.cable(host, "x0", other, "x0")
    host.ip("address", "add", SIX, "dev", "x0")
    host.ip("link", "set", "w0", "mtu", "1300")
    monkeypatch.setenv("VXQUAL_SSH_CONNECTION", "192.0.2.7 40000 192.0.2.1 22")
    before = state(host)
    agent = local_agent(host)
    assert look(agent, "w0", FOUR, SIX, "198.18.0.9/24") == [
        "management-interface", "mtu-too-small", "address-taken", "address-taken",
    ]  # fmt: skip
    assert "management-interface" not in look(agent, "w0", allow=True)
    assert state(host) == before


def ssh_on(host: Any, interface: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host.ip("address", "add", "192.0.2.1/24", "dev", interface)
    monkeypatch.setenv("VXQUAL_SSH_CONNECTION", "192.0.2.7 40000 192.0.2.1 22")


@pytest.mark.parametrize(
    "above", ["itself", "bridge", "vlan", "bridge over vlan", "vlan over bridge"]
)
def test_the_interface_of_our_own_session(
    net: Any, above: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, _ = net.wire()
    net.cable(host, "x0", net.host(), "x0")
    top = "w0"
    for number, kind in enumerate(reversed(above.split(" over "))):
        name = f"up{number}"
        if kind == "bridge":
            host.ip("link", "add", name, "type", "bridge")
            host.ip("link", "set", top, "master", name)
        elif kind == "vlan":
            host.ip("link", "add", "link", top, "name", name, "type", "macvlan")
        top = name if kind != "itself" else top
    ssh_on(host, top, monkeypatch)
    with host.inside():
        assert carries_ssh("w0") == "192.0.2.1"
        assert carries_ssh("x0") is None


def test_a_session_over_a_port_beside_ours(net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The NIC has a VLAN of its own, and the session is on another NIC."""
    host, _ = net.wire()
    net.cable(host, "x0", net.host(), "x0")
    host.ip("link", "add", "link", "w0", "name", "v9", "type", "macvlan")
    ssh_on(host, "x0", monkeypatch)
    with host.inside():
        assert carries_ssh("w0") is None
        assert carries_ssh("x0") == "192.0.2.1"


def test_the_index_of_a_link_elsewhere_means_nothing_here(
    net: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other end of a container's eth0 has an index that belongs to another interface here."""
    host, _ = net.wire()
    outside = net.host()
    number = host.ip("-o", "link", "show", "w0").split(":")[0]
    host.ip(
        "link", "add", "eth0", "type", "veth",
        "peer", "name", "v0", "netns", outside.name, "index", number,
    )  # fmt: skip
    ssh_on(host, "eth0", monkeypatch)
    with host.inside():
        assert carries_ssh("eth0") == "192.0.2.1"
        assert carries_ssh("w0") is None


@pytest.mark.parametrize(
    "connection",
    ["", "UNKNOWN 65535 UNKNOWN 65535", "203.0.113.7 4 203.0.113.5 22", "127.0.0.1 4 127.0.0.1 22"],
)
def test_no_session_to_lose(net: Any, connection: str, monkeypatch: pytest.MonkeyPatch) -> None:
    host, _ = net.wire()
    ssh_on(host, "w0", monkeypatch)
    monkeypatch.setenv("VXQUAL_SSH_CONNECTION", connection)
    with host.inside():
        assert carries_ssh("w0") is None


_DEFAULT = "the default route: its client is behind a proxy or a forwarded port"


@pytest.mark.parametrize(
    ("connection", "why"),
    [
        # The server's address is on lo; packets go by w0 all the same.
        ("192.0.2.7 40000 203.0.113.5 22", "the way to its client, 192.0.2.7"),
        ("2001:db8::7 40000 2001:db8:1::5 22", "the way to its client, 2001:db8::7"),
        ("fe80::7%w0 40000 fe80::5%w0 22", "fe80::5%w0"),
        ("fe80::7%w0 40000 UNKNOWN 22", "the way to its client, fe80::7%w0"),
        # Through a forwarded port, a local proxy, a pipe, and something that sshd cannot name.
        ("127.0.0.1 40000 127.0.0.1 22", _DEFAULT),
        ("192.0.2.1 40000 192.0.2.1 22", "192.0.2.1"),
        ("::1 40000 ::1 22", _DEFAULT),
        ("UNKNOWN 65535 UNKNOWN 65535", _DEFAULT),
        ("203.0.113.5 40000 203.0.113.5 22", _DEFAULT),
    ],
)
@pytest.mark.parametrize("family", [4, 6])
def test_the_interface_is_found_by_the_way_to_the_client(
    net: Any,
    local_agent: Any,
    monkeypatch: pytest.MonkeyPatch,
    connection: str,
    why: str,
    family: int,
) -> None:
    host, _ = net.wire()
    net.cable(host, "x0", net.host(), "x0")
    for address in ("192.0.2.1/24", "2001:db8::1/64", "fe80::5/64"):
        host.ip("address", "add", address, "dev", "w0", "nodad")
    for address in ("203.0.113.5/32", "2001:db8:1::5/128"):
        host.ip("address", "add", address, "dev", "lo")
    gateway = "192.0.2.254" if family == 4 else "2001:db8::254"
    host.ip(f"-{family}", "route", "add", "default", "via", gateway, "dev", "w0")
    monkeypatch.setenv("VXQUAL_SSH_CONNECTION", connection)
    with host.inside():
        assert carries_ssh("w0") == why
        assert carries_ssh("x0") is None
    agent = local_agent(host)
    assert "management-interface" in look(agent, "w0", FOUR)
    with pytest.raises(AgentProblem, match="w0 carries our own SSH session"):
        agent("prepare", interface="w0", addresses=[FOUR], allow_management=False)


def test_two_default_routes_are_both_ours(net: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    host, _ = net.wire()
    net.cable(host, "x0", net.host(), "x0")
    host.ip("link", "set", "x0", "up")
    for number, interface in enumerate(("w0", "x0")):
        host.ip("address", "add", f"10.{number}.0.1/24", "dev", interface)
    host.ip(
        *("route", "add", "default", "nexthop", "via", "10.0.0.9", "dev", "w0", "onlink"),
        *("nexthop", "via", "10.1.0.9", "dev", "x0", "onlink"),
    )
    monkeypatch.setenv("VXQUAL_SSH_CONNECTION", "127.0.0.1 40000 127.0.0.1 22")
    with host.inside():
        assert carries_ssh("w0") == carries_ssh("x0") == _DEFAULT


@pytest.mark.parametrize("address", [FOUR, SIX])
def test_reach(net: Any, address: str) -> None:
    host, other = net.wire()
    there = str(ipaddress.ip_interface(address).ip + 1)
    prefix = address.split("/")[1]
    with other.inside():
        links.add_address("w0", f"{there}/{prefix}")
        links.await_addresses("w0", [f"{there}/{prefix}"])
    with host.inside():
        links.add_address("w0", address)
        links.await_addresses("w0", [address])
        neighbours.reach("w0", there, never)
    [line] = host.ip("neighbour", "show", there, "dev", "w0").splitlines()
    assert f"lladdr {other.mac('w0')} " in line


def test_no_host_answers(net: Any) -> None:
    host, _ = net.wire()
    asked = iter([False] * 20)
    with host.inside():
        links.add_address("w0", FOUR)
        with pytest.raises(AgentProblem, match=r"198\.18\.0\.2 on w0") as refused:
            neighbours.reach("w0", "198.18.0.2", lambda: next(asked, True))
    assert refused.value.kind == "peer-unreachable"


def test_a_neighbour_on_another_interface_does_not_count(net: Any) -> None:
    host, _ = net.wire()
    other = net.host()
    net.cable(host, "x0", other, "x0")
    for end, address in ((host, "198.18.0.1/24"), (other, "198.18.0.2/24")):
        end.ip("link", "set", "x0", "up")
        end.ip("address", "add", address, "dev", "x0")
    asked = iter([False] * 20)
    with host.inside():
        neighbours.reach("x0", "198.18.0.2", never)
        with pytest.raises(AgentProblem):
            neighbours.reach("w0", "198.18.0.2", lambda: next(asked, True))


def test_a_socket_that_is_gone_leaves_no_notice(net: Any) -> None:
    """The datagram of `reach` goes to the discard port."""
    host, other = net.wire()
    host.ip("address", "add", FOUR, "dev", "w0")
    other.ip("address", "add", "198.18.0.2/24", "dev", "w0")
    with other.inside():
        sink = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sink:
        sink.bind(("198.18.0.2", 9))
        sink.settimeout(5)
        with host.inside():
            neighbours.reach("w0", "198.18.0.2", never)
        data, sender = sink.recvfrom(99)
        assert (data, sender[0]) == (b"", "198.18.0.1")


# Who answers on a link


def test_a_host_answers_for_all_its_addresses_and_learns_nothing(
    net: Any, local_agent: Any
) -> None:
    left, right = net.wire()
    agent = local_agent(left)
    assert agent("who_answers", interface="w0", addresses=["192.0.2.2"]) == []
    right.ip("address", "add", "192.0.2.2/32", "dev", "lo")
    right.ip("address", "add", "192.0.2.3/32", "dev", "lo")
    wanted = ["192.0.2.9", "192.0.2.2", "192.0.2.3"]
    before = [(state(host), host.ip("neigh")) for host in (left, right)]
    assert agent("who_answers", interface="w0", addresses=wanted) == [right.mac("w0")]
    assert [(state(host), host.ip("neigh")) for host in (left, right)] == before
    right.run("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1")
    assert agent("who_answers", interface="w0", addresses=wanted) == []
    left.ip("link", "set", "w0", "down")
    assert agent("who_answers", interface="w0", addresses=wanted) == []
