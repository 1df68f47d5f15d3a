"""Flows: the shapes of traffic that a cell sends or receives."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

from qualification.messages.bursts import Family, Protocol
from qualification.wire.crafted.catalogue import PACKET_SETS

from .features import CSUM, CSUM4, CSUM6, TNL, TNL_CSUM, TSO, TSO6, USO

State = Literal["", "two-ports", "reset", "mtu"]
Inserted = Literal["", "nic", "kernel"]
Load = Literal["", "both", "load"]
Direction = Literal["send", "receive"]

STATES: dict[State, tuple[str, str]] = {
    "two-ports": (
        "a second tunnel on another UDP port was made and used after the first one",
        "port-stolen",
    ),
    "reset": ("the link was taken down and up while the tunnels were there", "after-reset"),
    "mtu": (
        "the link's MTU was changed and put back while the tunnels were there",
        "after-reset",
    ),
}
"""What was done to the NIC before, and the faults that it is for, in the order of the cells.

The tunnels are made anew before each, so that the effect of one is not taken for another's.
"""

RECEIVE_SET = "received"
"""Name of the crafted packet set of receive tests (`qualification.wire.crafted.receive_tests`)."""

_RECEIVED: tuple[Protocol, ...] = ("tcp", "udp")

SECOND_PORT = 8472
"""The UDP port of the second tunnel; that is 4789 where this is the port of the first one."""


@dataclass(frozen=True)
class Flow:
    """One shape of traffic, through a tunnel unless `tunnel` is false.

    Attributes:
        outer: IP version of the underlay.
        outer_checksum: Whether the VXLAN device asks for an outer UDP checksum.
        inner: IP version inside the tunnel.
        l4: Inner protocol.
        segmentation: Whether there are super-packets, skbs with a `gso_size`: always in bulk TCP,
            in UDP with UDP_SEGMENT.
        port: The tunnel's UDP port; 0 without a tunnel.
        packet_set: Name of the crafted packet set that is sent, one of
            `qualification.wire.crafted.catalogue.PACKET_SETS`, or `RECEIVE_SET`. The buffers of
            the former go through a packet socket with a `struct virtio_net_hdr` in front, which
            gives the skb its `ip_summed`, `csum_start`, `csum_offset`, `gso_type` and `gso_size`.
            Empty for bulk traffic of the kernel's own sockets.
        tunnel: Whether it goes through a tunnel. Plain traffic has one IP version, as outer and as
            inner, and its TCP or UDP checksum counts as the outer one.
        state: What was done to the NIC before, one of `STATES`; empty for nothing.
        direction: Whether the DUT sends or receives. What it receives is made by the peer, right
            and wrong on purpose (`qualification.wire.crafted.receive_tests`).
        vlan: Who inserts the 802.1Q tag of the outer packets; empty for packets without a tag.
        load: What else is sent at the same time, one of `extra_flows.LOADS`; empty for nothing.
    """

    outer: Family
    outer_checksum: bool
    inner: Family
    l4: Protocol
    segmentation: bool
    port: int = 4789
    packet_set: str = ""
    tunnel: bool = True
    state: State = ""
    direction: Direction = "send"
    vlan: Inserted = ""
    load: Load = ""

    @property
    def id(self) -> str:
        """The name in reports, which is stable between runs.

        Examples: "outer4-csum/inner6/tcp", ".../tcp/boundaries@reset", "plain4/udp/lengths",
        "outer6-csum-vlan-nic/inner4/tcp", "outer4-nocsum/inner4/tcp+both".

        A flow that the DUT receives is "rx/outer4-csum/inner6/tcp", without the crafted packet set,
        of which there is one. The port is named where it is not 4789.
        """
        traffic = self.l4 if self.l4 == "tcp" or not self.segmentation else "udp-seg"
        port = "" if self.port == 4789 else f"-port{self.port}"
        packet_set = f"/{self.packet_set}" if self.packet_set else ""
        state = f"@{self.state}" if self.state else ""
        if self.direction == "receive":
            return f"rx/{self.outer_id}{port}/inner{self.inner}/{traffic}"
        vlan = f"-vlan-{self.vlan}" if self.vlan else ""
        load = f"+{self.load}" if self.load else ""
        if not self.tunnel:
            return f"plain{self.outer}/{traffic}{packet_set}{state}"
        return f"{self.outer_id}{port}{vlan}/inner{self.inner}/{traffic}{packet_set}{load}{state}"

    @property
    def outer_id(self) -> str:
        """The outer variant, which has its own VNI, for example "outer4-csum"."""
        return f"outer{self.outer}-{'csum' if self.outer_checksum else 'nocsum'}"

    @property
    def vni(self) -> int:
        """The VXLAN network identifier of the outer variant on its port, and in its VLAN.

        Crafted packet sets with chosen outer checksums (`outer_target`) have their own tunnels.
        """
        place = 4 * self.outer_target + 2 * bool(self.vlan) + (self.port == SECOND_PORT)
        return 0x5650 + 4 * place + 2 * (self.outer == 6) + self.outer_checksum

    @property
    def outer_target(self) -> bool:
        """Whether the outer UDP checksums of its crafted packet set are chosen, such as computed 0.

        In a tunnel the NIC makes the outer checksum of super-packets whose skb has
        SKB_GSO_UDP_TUNNEL_CSUM, and of other packets whose inner checksum is finished: their skb
        has CHECKSUM_PARTIAL with `csum_start` at the outer UDP header (`udp_set_csum`,
        net/ipv4/udp.c). Where the inner one is left to the NIC, the kernel makes the outer one
        (`lco_csum`). The set has skbs of the first two kinds. Their sums depend on the outer source
        port, so that they go through a tunnel of their own with a fixed one.
        """
        return self.packet_set in PACKET_SETS and PACKET_SETS[self.packet_set].outer_target

    @property
    def overhead(self) -> int:
        """Bytes by which the inner MTU is below the underlay's (RFC 7348): 50, or 70 over IPv6."""
        if not self.tunnel:
            return 0
        return 50 if self.outer == 4 else 70

    def work(self, on: frozenset[str]) -> frozenset[str]:
        """Returns what the kernel leaves to the NIC for this flow, under a set of features.

        Args:
            on: Settled features in effect.

        Returns:
            A subset of "checksum" and "segmentation". With "checksum", skbs are submitted to the
            driver with CHECKSUM_PARTIAL: the NIC sums from `csum_start` and writes the checksum at
            `csum_offset`. Without it the kernel finishes them (`skb_checksum_help`). With
            "segmentation", super-packets are submitted as they are, with their `gso_size` and
            `gso_type`. Without it the kernel segments them before (`__skb_gso_segment`).
        """
        work = set()
        if on & self.checksummed_by:
            work.add("checksum")
        if self.segmentation and self.segmented_by <= on:
            work.add("segmentation")
        return frozenset(work)

    @property
    def checksummed_by(self) -> frozenset[str]:
        """Features each of which alone leaves the innermost TCP or UDP checksum to the NIC.

        The checksum is the one that `csum_start` and `csum_offset` of a CHECKSUM_PARTIAL skb point
        at: tx-checksum-ip-generic (NETIF_F_HW_CSUM) is for any, tx-checksum-ipv4 and -ipv6
        (NETIF_F_IP_CSUM, NETIF_F_IPV6_CSUM) for TCP and UDP of one IP version.
        """
        return frozenset({CSUM, CSUM4 if self.inner == 4 else CSUM6})

    @property
    def segmented_by(self) -> frozenset[str]:
        """Features all of which the NIC needs to segment the super-packets of this flow.

        There is one for each bit of the skb's `gso_type` (`skb_gso_ok`,
        include/linux/netdevice.h): SKB_GSO_TCPV4, SKB_GSO_TCPV6 or SKB_GSO_UDP_L4 for the inner
        packet; SKB_GSO_UDP_TUNNEL for the tunnel, or SKB_GSO_UDP_TUNNEL_CSUM where the VXLAN device
        asks for an outer checksum, which is then made for each segment.
        """
        innermost = USO if self.l4 == "udp" else TSO if self.inner == 4 else TSO6
        tunnel = {TNL_CSUM if self.outer_checksum else TNL} if self.tunnel else set()
        return frozenset({innermost, *tunnel})


_VERSIONS: tuple[Family, ...] = (4, 6)
_BULK: tuple[tuple[Protocol, bool], ...] = (("tcp", True), ("udp", False), ("udp", True))


def bulk_flows(families: frozenset[Family], port: int) -> tuple[Flow, ...]:
    """Returns every flow of the kernel's own sockets, in the order they run: 12 for each family.

    Args:
        families: IP versions of the underlay.
        port: The tunnel's UDP port.
    """
    return tuple(
        Flow(outer, checksum, inner, l4, segmentation, port)
        for outer, checksum, inner, (l4, segmentation) in product(
            sorted(families), (True, False), _VERSIONS, _BULK
        )
    )


def crafted_flows(families: frozenset[Family], port: int) -> tuple[Flow, ...]:
    """Returns every flow of crafted packet sets, in the order they run: in tunnels, then without.

    Arguments as for `bulk_flows`.
    """
    tunnelled = tuple(
        Flow(outer, checksum, inner, l4, segmentation, port, packet_set.name)
        for packet_set in PACKET_SETS.values()
        for outer, checksum, inner, (l4, segmentation) in product(
            sorted(families), (True, False), _VERSIONS, packet_set.traffic
        )
        if checksum or not packet_set.outer_target
    )
    plain = tuple(
        Flow(family, True, family, l4, segmentation, 0, packet_set.name, tunnel=False)
        for packet_set in PACKET_SETS.values()
        for family, (l4, segmentation) in product(sorted(families), packet_set.plain)
    )
    return tunnelled + plain


_IN_STATES: tuple[tuple[str, Protocol, bool], ...] = (
    ("boundaries", "tcp", True),
    ("lengths", "udp", False),
)
"""Crafted packet sets that are sent in each state: super-packets, and packets that need only a
checksum."""

FEW: tuple[tuple[Family, bool, Family], ...] = (
    (4, True, 4), (4, False, 6), (6, True, 6), (6, False, 4),
)  # fmt: skip
"""Outer family, outer checksum, inner family: each value of each, for kinds of flows of which all
combinations would be too many."""


def second_port(port: int) -> int:
    """Returns the UDP port of the second tunnel where the first one uses this port."""
    return 4789 if port == SECOND_PORT else SECOND_PORT


def state_flows(families: frozenset[Family], port: int) -> tuple[Flow, ...]:
    """Returns every flow in a state, in the order they run. Arguments as for `bulk_flows`.

    Where there are two ports, the flows of the second tunnel come first: by then it has replaced
    the first one in a NIC that knows only one port. A change of the MTU affects all tunnels of a
    NIC, so that a few flows show it.
    """
    places: list[tuple[State, int]] = [("two-ports", second_port(port))]
    places += [(state, port) for state in STATES]
    return tuple(
        Flow(outer, checksum, inner, l4, segmentation, at, packet_set, state=state)
        for (state, at), (packet_set, l4, segmentation), outer, checksum, inner in product(
            places, _IN_STATES, sorted(families), (True, False), _VERSIONS
        )
        if state != "mtu" or (outer, checksum, inner) in FEW
    )


def receive_flows(families: frozenset[Family], port: int) -> tuple[Flow, ...]:
    """Returns every flow that the DUT receives, in the order they run: 4 for each family.

    Each has frames without an outer checksum, too. Arguments as for `bulk_flows`.
    """
    return tuple(
        Flow(outer, True, inner, l4, False, port, RECEIVE_SET, direction="receive")
        for outer, inner, l4 in product(sorted(families), _VERSIONS, _RECEIVED)
    )


def traffic_of(flow_id: str) -> tuple[Protocol, bool]:
    """Returns the inner protocol of a flow, and whether it goes through a tunnel, by its id."""
    return "tcp" if "/tcp" in flow_id else "udp", not flow_id.startswith("plain")
