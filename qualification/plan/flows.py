"""Flows: the shapes of traffic that a cell sends."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Literal

from qualification.messages.bursts import Family, Protocol
from qualification.wire.crafted.packet_sets import PACKET_SETS

from .features import CSUM, CSUM4, CSUM6, TNL, TNL_CSUM, TSO, TSO6, USO

State = Literal["", "two-ports", "reset", "mtu"]
Inserted = Literal["", "nic", "kernel"]
Load = Literal["", "both", "load"]
Direction = Literal["send", "receive"]

STATES: dict[State, tuple[str, str]] = {
    "two-ports": (
        "beside the tunnel there is one on another UDP port, made and used after it",
        "port-stolen",
    ),
    "reset": ("the link was taken down and up while the tunnels were there", "after-reset"),
    "mtu": (
        "the link's MTU was changed and put back while the tunnels were there",
        "after-reset",
    ),
}
"""What the NIC has been through, in the order of the cells, and the faults that it is for.

Each comes after tunnels that are newly made, so that none is seen in the place of another.
"""

RECEIVE_SET = "arrivals"
"""The name of the crafted packet set that is received."""

_RECEIVED: tuple[Protocol, ...] = ("tcp", "udp")

SECOND_PORT = 8472
"""The UDP port of the second tunnel, and the standard's where this is the first one's."""


@dataclass(frozen=True)
class Flow:
    """One shape of traffic, through the tunnel unless said otherwise.

    Attributes:
        outer: IP version of the underlay.
        outer_checksum: The kernel asks for an outer UDP checksum.
        inner: IP version inside the tunnel.
        l4: Inner protocol.
        segmentation: Super-packets are made: always of bulk TCP, of UDP with UDP_SEGMENT.
        port: The tunnel's UDP port; 0 without one.
        packet_set: Which crafted buffers are sent, by their name in `qualification.wire.crafted.packet_sets`, or
            `RECEIVE_SET`; empty for traffic of the kernel's own sockets, in bulk.
        tunnel: It goes through a tunnel. Plain traffic has one IP version, as outer and as inner,
            and its TCP or UDP checksum counts as the outer one.
        state: What the NIC has been through, one of `STATES`; empty as it was found.
        direction: What the DUT does; what it receives the peer makes, right and wrong on purpose
            (`qualification.wire.arrivals`).
        vlan: Who inserts the 802.1Q tag of the outer packets; empty for packets without one.
        load: What there is beside it, one of `besides.LOADS`; empty for nothing.
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
        """Such as "outer4-csum/inner6/tcp", ".../tcp/boundaries@reset" or "plain4/udp/lengths".

        Or "outer6-csum-vlan-nic/inner4/tcp" and "outer4-nocsum/inner4/tcp+both".

        Of what is received, "rx/outer4-csum/inner6/tcp": there is one crafted packet set of it.

        The port is named where it is not the standard's.
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
        """The outer variant, which has a VNI of its own: "outer4-csum"."""
        return f"outer{self.outer}-{'csum' if self.outer_checksum else 'nocsum'}"

    @property
    def vni(self) -> int:
        """The VXLAN network identifier of the outer variant on its port, and in its VLAN.

        Crafted packet sets that are aimed at outer checksums have tunnels of their own.
        """
        place = 4 * self.outer_target + 2 * bool(self.vlan) + (self.port == SECOND_PORT)
        return 0x5650 + 4 * place + 2 * (self.outer == 6) + self.outer_checksum

    @property
    def outer_target(self) -> bool:
        """Its crafted packet set is aimed at outer checksums."""
        return self.packet_set in PACKET_SETS and PACKET_SETS[self.packet_set].outer_target

    @property
    def overhead(self) -> int:
        """Bytes between the underlay's MTU and the inner one (RFC 7348): 50, or 70 over IPv6."""
        if not self.tunnel:
            return 0
        return 50 if self.outer == 4 else 70

    def work(self, on: frozenset[str]) -> frozenset[str]:
        """What these features would have the hardware do for this flow.

        Args:
            on: Settled features in effect.

        Returns:
            Some of "checksum" and "segmentation".
        """
        work = set()
        if on & self.checksummed_by:
            work.add("checksum")
        if self.segmentation and self.segmented_by <= on:
            work.add("segmentation")
        return frozenset(work)

    @property
    def checksummed_by(self) -> frozenset[str]:
        """Features any of which has the hardware fill in the innermost checksum."""
        return frozenset({CSUM, CSUM4 if self.inner == 4 else CSUM6})

    @property
    def segmented_by(self) -> frozenset[str]:
        """Features all of which the hardware needs to cut its super-packets."""
        cutter = USO if self.l4 == "udp" else TSO if self.inner == 4 else TSO6
        tunnel = {TNL_CSUM if self.outer_checksum else TNL} if self.tunnel else set()
        return frozenset({cutter, *tunnel})


_VERSIONS: tuple[Family, ...] = (4, 6)
_BULK: tuple[tuple[Protocol, bool], ...] = (("tcp", True), ("udp", False), ("udp", True))


def bulk_flows(families: frozenset[Family], port: int) -> tuple[Flow, ...]:
    """Every flow of the kernel's own sockets, in the order they run: 12 for each family."""
    return tuple(
        Flow(outer, checksum, inner, l4, segmentation, port)
        for outer, checksum, inner, (l4, segmentation) in product(
            sorted(families), (True, False), _VERSIONS, _BULK
        )
    )


def crafted_flows(families: frozenset[Family], port: int) -> tuple[Flow, ...]:
    """Every flow of crafted buffers, in the order they run: in tunnels, then without."""
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
"""Crafted packet sets that are fired in each state: one to be cut, and one to be summed alone."""


FEW: tuple[tuple[Family, bool, Family], ...] = (
    (4, True, 4), (4, False, 6), (6, True, 6), (6, False, 4),
)  # fmt: skip
"""Outer family, outer checksum, inner family: each value of each, where all are too many."""


def second_port(port: int) -> int:
    """The UDP port of the second tunnel beside one on this port."""
    return 4789 if port == SECOND_PORT else SECOND_PORT


def state_flows(families: frozenset[Family], port: int) -> tuple[Flow, ...]:
    """Every flow in a state, in the order they run: by the second tunnel first, where there is one.

    By then it has taken the place of the first one, in a NIC that knows one port alone. What a
    change of the MTU does to a NIC it does to all of its tunnels, so that a few of them tell.
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
    """Every flow that the DUT receives, in the order they run: 4 for each family.

    Frames without an outer checksum are among those of each.
    """
    return tuple(
        Flow(outer, True, inner, l4, False, port, RECEIVE_SET, direction="receive")
        for outer, inner, l4 in product(sorted(families), _VERSIONS, _RECEIVED)
    )
