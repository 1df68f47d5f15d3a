"""The tunnel namespace, like a pod's: its VXLAN devices have their outer socket on the underlay.

A device made with both a link (the underlay, in the current namespace) and a target namespace is
made in the target while its UDP socket stays in the current one (drivers/net/vxlan/vxlan_core.c,
vxlan_newlink: src_net). It never appears on the host, collides with nothing there, and ends with
the agent's descriptor of the namespace, even if the agent is killed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from qualification.agent.waiting import await_condition
from qualification.messages.host import TunnelOrder
from qualification.messages.protocol import AgentProblem

from . import links, namespaces

_SYSCTLS = {
    "ipv6/conf/all/disable_ipv6": "0",
    "ipv6/conf/default/disable_ipv6": "0",
    # No packets but our own: no solicitations, no duplicate address detection.
    "ipv6/conf/default/accept_dad": "0",
    "ipv6/conf/default/router_solicitations": "0",
    "ipv6/conf/default/addr_gen_mode": "1",
    "ipv4/conf/all/rp_filter": "0",
    "ipv4/conf/default/rp_filter": "0",
    # A burst must start at full speed and not inherit the losses of an earlier cell.
    "ipv4/tcp_no_metrics_save": "1",
    "ipv4/tcp_slow_start_after_idle": "0",
}
_LINGER_SECONDS = 10.0
_PROBE_SECONDS = 5.0
"""The probe of another pair of this host has the port for a moment (`traffic.port_probe`)."""
_DROPPED = 1
"""The group of devices that are deleted together (`ip link set group`)."""


class Tunnels:
    """The tunnel namespace of one agent and the devices in it."""

    def __init__(self) -> None:
        self._namespace = namespaces.new()
        self._made: list[str] = []
        with namespaces.inside(self._namespace):
            for key, value in _SYSCTLS.items():
                namespaces.write_sysctl(key, value)
            links.set_up("lo", True)

    @property
    def namespace(self) -> int:
        """Returns the descriptor of the namespace."""
        return self._namespace

    def make(self, orders: Sequence[TunnelOrder]) -> None:
        """Makes VXLAN devices.

        Raises:
            AgentProblem: The port is taken on this host, or the kernel cannot do VXLAN.
        """
        with IPRoute() as route:
            for order in orders:
                self._make_device(route, order)
                self._made.append(order.name)
        with namespaces.inside(self._namespace), IPRoute() as route:
            for order in orders:
                self._configure(route, order)

    def _make_device(self, route: IPRoute, order: TunnelOrder) -> None:
        six = ":" in order.local
        # Devices that share a port share its socket only if they agree on accepting zero checksums
        # (vxlan_find_sock compares flags), so both IPv6 devices accept them.
        outer: dict[str, Any] = {
            "vxlan_local6" if six else "vxlan_local": order.local,
            "vxlan_group6" if six else "vxlan_group": order.remote,
        }
        outer_checksum = (
            {"vxlan_udp_zero_csum6_rx": 1, "vxlan_udp_zero_csum6_tx": int(not order.checksum)}
            if six
            else {"vxlan_udp_csum": int(order.checksum)}
        )
        if order.ttl:
            outer["vxlan_ttl"] = order.ttl
        if order.source_port:  # the range excludes its upper end (udp_flow_src_port)
            outer["vxlan_port_range"] = {"low": order.source_port, "high": order.source_port + 1}
        link = links.index_of(order.link)

        def make() -> None:
            try:
                route.link(
                    "add",
                    ifname=order.name,
                    kind="vxlan",
                    net_ns_fd=self._namespace,
                    address=order.mac,
                    mtu=order.mtu,
                    vxlan_id=order.vni,
                    vxlan_link=link,
                    vxlan_port=order.port,
                    vxlan_learning=0,
                    **outer,
                    **outer_checksum,
                )
            except NetlinkError as error:
                if error.code == errno.EOPNOTSUPP:
                    raise AgentProblem(
                        "no-vxlan", "this kernel cannot make VXLAN devices", hint="modprobe vxlan"
                    ) from error
                raise

        # The kernel removes the namespace of a dead agent a little after its death.
        if not _done(make, errno.EEXIST, _LINGER_SECONDS):
            raise AgentProblem(
                "port-taken",
                f"another tunnel of this host has VNI {order.vni} on UDP port {order.port}",
                hint="stop the other tunnel, or give the pair another port in the topology",
            )

    @staticmethod
    def _configure(route: IPRoute, order: TunnelOrder) -> None:
        index = links.index_of(order.name)

        def set_up() -> None:
            route.link("set", index=index, state="up")  # this binds its UDP port

        if not _done(set_up, errno.EADDRINUSE, _PROBE_SECONDS):
            raise AgentProblem(
                "port-taken",
                f"UDP port {order.port} is in use on this host",
                hint="stop what uses it, or give the pair another port in the topology",
            )
        links.configure_device(route, index, order.addresses, order.neighbours, order.remote_mac)

    def drop(self, names: Sequence[str]) -> None:
        """Deletes VXLAN devices by their names, all at once.

        One by one, the kernel waits some 16 ms for each until no CPU uses it any more.
        """
        with namespaces.inside(self._namespace), IPRoute() as route:
            there = {name: index for index, name in socket.if_nameindex()}
            indexes = [there[name] for name in names if name in there]
            for index in indexes:
                route.link("set", index=index, group=_DROPPED)
            if indexes:
                route.link("del", index=0, group=_DROPPED)

    def close(self) -> None:
        """Deletes the devices, and closes the namespace with every connection in it.

        The kernel removes a namespace some time later, and its devices would occupy their ports
        until then; the next agent needs them.
        """
        if self._namespace >= 0:
            with contextlib.suppress(OSError, NetlinkError):
                self.drop(self._made)
            os.close(self._namespace)
            self._namespace = -1


def _done(change: Callable[[], None], refusal: int, seconds: float) -> bool:
    """Makes a change, again and again while the kernel refuses it; returns whether it was made.

    Args:
        change: Makes it; raises `NetlinkError` where the kernel refuses.
        refusal: The errno with which it does as long as something else is in the way.
        seconds: How long that is waited for.
    """

    def made() -> bool:
        try:
            change()
        except NetlinkError as error:
            if error.code == refusal:
                return False
            raise
        return True

    return await_condition(made, seconds, lambda: False)
