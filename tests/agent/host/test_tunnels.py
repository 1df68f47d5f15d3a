"""The tunnel namespace: what is on the wire, and that the host has no trace of it."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN

from qualification.agent.host import links, namespaces
from qualification.agent.host.tunnels import Tunnels
from qualification.inventory import Ends
from qualification.judge.verdict import Demand, Verdict, judge
from qualification.messages.host import TunnelOrder
from qualification.messages.protocol import AgentProblem
from qualification.plan.cells import CONTROLS, Cell
from qualification.plan.features import RULES, FeatureSpace, OffloadSet
from qualification.plan.flows import Flow, bulk_flows
from qualification.remote.host import open_host
from qualification.remote.pair.controls import run_controls
from qualification.remote.pair.session import PairSession
from qualification.remote.pair.tunnel_orders import tunnel_orders

pytestmark = pytest.mark.lab

OUTER = {4: ("198.18.0.1", "198.18.0.2"), 6: ("fd00:18::1", "fd00:18::2")}
DEMAND = Demand(0.01, 0.95)


def order(family: int, checksum: bool, vni: int = 77, end: int = 0) -> TunnelOrder:
    local, remote = OUTER[family][end], OUTER[family][1 - end]
    mac = f"02:00:00:00:{vni:02x}:0"
    return TunnelOrder(
        f"vx{vni}", vni, "w0", local, remote, 4789, checksum, f"{mac}{end}", f"{mac}{1 - end}",
        (f"10.86.{vni}.{end + 1}/24", f"fd56:{vni}::{end + 1}/64"),
        (f"10.86.{vni}.{2 - end}", f"fd56:{vni}::{2 - end}"),
        1400,
    )  # fmt: skip


@pytest.fixture
def underlay(net: Any) -> Any:
    """Returns two hosts with underlay addresses of both families."""
    hosts = net.wire()
    for end, host in enumerate(hosts):
        host.ip("address", "add", f"{OUTER[4][end]}/24", "dev", "w0")
        host.ip("address", "add", f"{OUTER[6][end]}/64", "dev", "w0", "nodad")
    return hosts


@pytest.fixture
def tunnels() -> Any:
    """`tunnels(host, *orders)` makes them in a host; they are closed when the test ends."""
    made: list[Tunnels] = []

    def make(host: Any, *orders: TunnelOrder) -> Tunnels:
        with host.inside():
            made.append(Tunnels())
            made[-1].make(orders)
        return made[-1]

    yield make
    for tunnel in made:
        tunnel.close()


@pytest.mark.parametrize("inner", [4, 6])
@pytest.mark.parametrize("checksum", [True, False])
@pytest.mark.parametrize("outer", [4, 6])
def test_the_outer_checksum_on_the_wire(
    underlay: Any, tunnels: Any, outer: int, checksum: bool, inner: int
) -> None:
    left, right = underlay
    sender = tunnels(left, order(outer, checksum))
    receiver = tunnels(right, order(outer, checksum, end=1))
    family, address = [(socket.AF_INET, "10.86.77.2"), (socket.AF_INET6, "fd56:77::2")][inner == 6]
    with right.inside():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))
        tap.bind(("w0", 0x0003))
        tap.settimeout(5)
    with namespaces.inside(receiver.namespace):
        listener = socket.socket(family, socket.SOCK_DGRAM)
    with namespaces.inside(sender.namespace):
        talker = socket.socket(family, socket.SOCK_DGRAM)
    with tap, listener, talker:
        listener.bind((address, 4000))
        listener.settimeout(5)
        talker.sendto(b"hello", (address, 4000))
        assert listener.recv(99) == b"hello"
        while True:
            frame = Ether(tap.recv(2000))
            if (
                VXLAN in frame
                and frame.src == left.mac("w0")
                and getattr(frame.lastlayer(), "load", b"") == b"hello"
            ):
                break
    outer_ip = frame[IP] if outer == 4 else frame[IPv6]
    assert (outer_ip.src, outer_ip.dst) == OUTER[outer]
    assert frame[UDP].dport == 4789
    assert frame[VXLAN].vni == 77
    assert frame[VXLAN][Ether].src == "02:00:00:00:4d:00"
    assert frame[VXLAN][Ether].dst == "02:00:00:00:4d:01"
    given = frame[UDP].chksum
    if not checksum:
        assert given == 0
        return
    del frame[UDP].chksum
    assert given == Ether(bytes(frame))[UDP].chksum != 0


def test_variants_share_a_port(underlay: Any, tunnels: Any) -> None:
    """Every outer variant at once, as in a run; all of them carry traffic."""
    left, right = underlay
    variants = [(4, True), (4, False), (6, True), (6, False)]
    sender = tunnels(left, *(order(*v, vni=70 + n) for n, v in enumerate(variants)))
    receiver = tunnels(right, *(order(*v, vni=70 + n, end=1) for n, v in enumerate(variants)))
    for number in range(len(variants)):
        with namespaces.inside(receiver.namespace):
            listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with namespaces.inside(sender.namespace):
            talker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with listener, talker:
            listener.bind((f"10.86.{70 + number}.2", 4000))
            listener.settimeout(5)
            talker.sendto(b"hello", (f"10.86.{70 + number}.2", 4000))
            assert listener.recv(99) == b"hello"


def test_the_host_never_sees_the_device(underlay: Any, tunnels: Any, until: Any) -> None:
    host, _ = underlay
    before = host.ip("-d", "link"), host.ip("address"), host.ip("route"), ports(host)
    with host.inside(), socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as events:
        events.bind((0, 1))  # RTMGRP_LINK: every link that comes or goes, however briefly
        tunnel = tunnels(host, order(4, True), order(6, True, vni=78))
        assert (host.ip("-d", "link"), host.ip("address"), host.ip("route")) == before[:3]
        assert ":12B5" in ports(host)  # the outer socket is here
        with namespaces.inside(tunnel.namespace):
            assert links.addresses(links.find("vx77")["index"]) == [
                "10.86.77.1/24",
                "fd56:77::1/64",
            ]
        tunnel.close()
        until(lambda: ports(host) == before[3])
        events.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:  # the underlay's own news may be among them
                assert b"vx7" not in events.recv(99999)
    assert (host.ip("-d", "link"), host.ip("address"), host.ip("route")) == before[:3]


def ports(host: Any) -> str:
    """Returns the local ends of a host's UDP sockets, those of kernel tunnels included."""
    found = host.run("cat", "/proc/net/udp", "/proc/net/udp6")
    return "\n".join(sorted(re.findall(r"^ *\d+: (\S+)", found, re.MULTILINE)))


@pytest.mark.parametrize("family", [4, 6])
def test_a_socket_has_the_port(underlay: Any, tunnels: Any, family: int) -> None:
    host, _ = underlay
    kind = socket.AF_INET if family == 4 else socket.AF_INET6
    with host.inside(), socket.socket(kind, socket.SOCK_DGRAM) as other:
        other.bind(("", 4789))
        with pytest.raises(AgentProblem, match="4789") as refused:
            tunnels(host, order(family, True))
    assert refused.value.kind == "port-taken"
    assert "another port" in (refused.value.hint or "")


def test_a_socket_has_the_port_for_a_moment(underlay: Any, tunnels: Any) -> None:
    """As the probe of another pair of this host does, which begins at the same time."""
    host, _ = underlay
    with host.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("", 4789))
        ending = threading.Timer(0.5, other.close)
        ending.start()
        tunnels(host, order(4, True)).close()
        ending.join()


def test_another_tunnel_has_the_vni(underlay: Any, tunnels: Any) -> None:
    host, _ = underlay
    host.ip("link", "add", "theirs", "type", "vxlan", "id", "77", "dstport", "4789")
    with pytest.raises(AgentProblem, match=r"VNI 77 .*4789") as refused:
        tunnels(host, order(4, True))
    assert refused.value.kind == "port-taken"


def test_a_tunnel_of_the_hosts_own_goes_on(underlay: Any, tunnels: Any) -> None:
    """It is like Calico's: a device on the same port, with another VNI."""
    host, _ = underlay
    host.ip("link", "add", "theirs", "type", "vxlan", "id", "4096", "dstport", "4789")
    host.ip("link", "set", "theirs", "up")
    before = host.ip("-d", "link"), ports(host)
    tunnel = tunnels(host, order(4, True))
    tunnel.close()
    assert (host.ip("-d", "link"), ports(host)) == before


def test_made_again_at_once(underlay: Any, tunnels: Any) -> None:
    """A namespace is removed slowly; the next agent must succeed all the same."""
    host, _ = underlay
    for _ in range(5):
        tunnels(host, order(4, True), order(6, False, vni=78)).close()


def test_some_are_dropped_at_once_and_the_others_stay(underlay: Any, tunnels: Any) -> None:
    host, _ = underlay
    orders = [order(4, True, vni=vni) for vni in (77, 78, 79)]
    first, kept, last = (each.name for each in orders)
    tunnel = tunnels(host, *orders)

    def there() -> set[str]:
        with namespaces.inside(tunnel.namespace):
            return {name for _, name in socket.if_nameindex()} - {"lo"}

    tunnel.drop([first, "never made", last])
    assert there() == {kept}
    tunnel.drop([])
    tunnel.drop([first])
    assert there() == {kept}
    with host.inside():
        tunnel.make(orders[:1])
    assert there() == {first, kept}


# The two hosts of the lab, over SSH


@pytest.fixture
def hosts_state(lab: Any, run: Any, until: Any) -> Any:
    """`hosts_state()` returns everything about both hosts that a run could have changed."""

    def state() -> dict[str, str]:
        found = {"namespaces": " ".join(lab.record.namespaces())}
        for name in ("alpha", "bravo"):
            namespace = lab.record.namespace(name)
            for what in (
                ("ip", "-d", "link"), ("ip", "address"), ("ip", "route", "show", "table", "all"),
                ("ip", "-6", "route", "show", "table", "all"), ("ip", "rule"),
                ("ethtool", "-k", "port0"),
                ("sysctl", "net.ipv4", "net.ipv6", "net.core"),
                ("cat", "/proc/net/packet"),
            ):  # fmt: skip
                inside = ("ip", "netns", "exec", namespace, *what)
                text = run(*inside)
                text = re.sub(r"expires \d+sec", "", text)
                found[f"{name}: {' '.join(what)}"] = text
            udp = run("ip", "netns", "exec", namespace, "cat", "/proc/net/udp", "/proc/net/udp6")
            found[f"{name}: ports"] = " ".join(sorted(re.findall(r"\d+: (\S+:\S+) ", udp)))
        return found

    def settled() -> dict[str, str]:
        """Returns the state once dead namespaces are gone and multicast reports are sent."""
        last = state()

        def same() -> bool:
            nonlocal last
            now, before = state(), last
            last = now
            return now == before and "tentative" not in str(now)

        until(same)
        return last

    return settled


def some(flows: tuple[Flow, ...]) -> tuple[Flow, ...]:
    """Returns a few flows: both families, both protocols, with and without segmentation."""
    return flows[0], flows[5], flows[13], flows[23]


def session(ends: Ends, hosts: dict[Any, Any], flows: tuple[Flow, ...]) -> PairSession:
    return PairSession("soft", ends, flows, hosts, DEMAND, 7, {"dut": False, "peer": False})


def space(ends: Ends) -> FeatureSpace:
    features = ends.dut.facts.features
    return FeatureSpace(
        frozenset(name for name in RULES if name in features and features[name].hw), driver="tun"
    )


def test_a_whole_session_leaves_both_hosts_as_they_were(
    lab: Any, ends: Ends, hosts_state: Any
) -> None:
    before = hosts_state()
    ends = replace(ends, port=4790)
    flows = some(bulk_flows(ends.families, 4790))
    hosts = {"dut": open_host(lab.topology, "alpha"), "peer": open_host(lab.topology, "bravo")}
    pair = session(ends, hosts, flows)
    try:
        assert pair.open() == []
        during = hosts_state()
        for name in ("alpha", "bravo"):
            assert during[f"{name}: ip -d link"] == before[f"{name}: ip -d link"]
        assert during != before
        controls = run_controls(pair)
        assert list(controls) == list(CONTROLS)
        assert all(control.trusted for control in controls.values()), controls
        everything = OffloadSet(space(ends).settle(RULES), space(ends))
        for flow in flows:
            cell = Cell("soft", everything, flow)
            evidence = pair.evidence(cell)
            found = judge(cell, evidence, DEMAND)
            assert found.verdict is Verdict.PASS, found
            assert found.frames >= DEMAND.frames
            for burst in evidence.bursts:  # both ends count the same frames, each in its own way
                assert burst.sent.submitted.frames == burst.received.captured.frames
                assert burst.received.delivered.corrupt == 0
    finally:
        pair.close()
    after = hosts_state()
    assert {k: (v, after[k]) for k, v in before.items() if v != after[k]} == {}


def test_controls_are_run_for_the_cells_that_rest_on_them(lab: Any, ends: Ends) -> None:
    flows = bulk_flows(ends.families, 4789)
    hosts = {"dut": open_host(lab.topology, "alpha"), "peer": open_host(lab.topology, "bravo")}
    pair = session(ends, hosts, flows)
    bulk, crafted = flows[0], replace(flows[-1], packet_set="fields")
    every = OffloadSet(space(ends).settle(RULES), space(ends))
    try:
        assert pair.open() == []
        controls = run_controls(pair, [Cell("soft", every, bulk), Cell("soft", every, crafted)])
        assert list(controls) == ["plain", "all-off", "crafted", "injected"]
        assert all(control.trusted for control in controls.values()), controls
        sent = controls["all-off"].bursts
        assert {bulk.id, flows[-1].id} <= set(sent)
        assert len(sent) < len(flows) / 2
        assert {id_.rpartition("/")[2] for id_ in controls["crafted"].bursts} == {"fields"}
        assert sum(burst.sent.submitted.frames for burst in sent.values()) >= DEMAND.frames
        # Where no cell has a crafted set, one of them still shows that frames arrive as they were.
        controls = run_controls(pair, [Cell("soft", every, bulk)])
        assert len({id_.rpartition("/")[2] for id_ in controls["crafted"].bursts}) == 1
    finally:
        pair.close()


def test_killed_in_the_middle_and_put_back_by_the_next(
    lab: Any, ends: Ends, hosts_state: Any, remote_agent: Any, slay: Any
) -> None:
    before = hosts_state()
    flows = some(bulk_flows(ends.families, 4789))
    agents = {"dut": remote_agent("alpha"), "peer": remote_agent("bravo")}
    pair = session(ends, agents, flows)
    pair.open()
    cell = Cell("soft", OffloadSet(frozenset(), space(ends)), flows[0])
    assert pair.evidence(cell).bursts
    for agent in agents.values():
        slay(agent)
    left = hosts_state()
    assert left["alpha: ip address"] != before["alpha: ip address"]
    assert left["bravo: ethtool -k port0"] != before["bravo: ethtool -k port0"]

    def succeed(role: Any, name: str) -> None:
        successor = remote_agent(name)
        answer = successor.call(
            "prepare", timeout=30, interface="port0", addresses=ends.nic(role).underlay,
            allow_management=False,
        )  # fmt: skip
        recovered = [line.split()[0] for line in answer["recovered"]]
        assert recovered == ["features", "address", "address"]
        orders = [asdict(order) for order in tunnel_orders(ends, role, flows)]
        successor.call("make_tunnels", timeout=30, orders=orders)
        successor.close()

    with ThreadPoolExecutor() as pool:
        list(pool.map(succeed, ("dut", "peer"), ("alpha", "bravo")))
    assert hosts_state() == before
