"""Builds the orders for the tunnels of a pair. Pure."""

from __future__ import annotations

from qualification.inventory import Ends, Role, other
from qualification.messages.host import TunnelOrder
from qualification.plan.flows import Flow

from .addresses import device_name, inner_address, inner_mac
from .vlan import underlay

OUTER_TARGET_SOURCE_PORT = 50_000
"""The UDP source port of the tunnels whose outer checksums have a target."""
TUNNEL_TTL = 64
"""TTL or hop limit of every tunnel's packets, as a route without one has it (RFC 1700)."""


def tunnel_orders(ends: Ends, role: Role, flows: tuple[Flow, ...]) -> tuple[TunnelOrder, ...]:
    """Returns an order for one VXLAN device for each outer variant among the flows."""
    variants = {ends.vni(flow.vni): flow for flow in flows}
    return tuple(
        TunnelOrder(
            name=device_name(vni),
            vni=vni,
            link=link,
            local=local,
            remote=remote,
            port=flow.port,
            checksum=flow.outer_checksum,
            mac=inner_mac(role, vni),
            remote_mac=inner_mac(other(role), vni),
            addresses=(
                f"{inner_address(role, vni, 4)}/24",
                f"{inner_address(role, vni, 6)}/64",
            ),
            neighbours=(
                inner_address(other(role), vni, 4),
                inner_address(other(role), vni, 6),
            ),
            mtu=ends.mtu - flow.overhead,
            source_port=OUTER_TARGET_SOURCE_PORT if flow.outer_target else 0,
            ttl=TUNNEL_TTL,
        )
        for vni, flow in variants.items()
        for link, local, remote in [underlay(ends, role, flow)]
    )
