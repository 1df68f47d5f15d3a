"""Orders for the two agents of a pair: addresses, tunnels, bursts. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from hashlib import blake2b
from ipaddress import ip_address
from typing import Literal

from qualification.errors import LabError
from qualification.inventory import Ends, Role, other
from qualification.messages.bursts import CaptureOrder, CraftedOrder, FlowOrder
from qualification.messages.host import TunnelOrder
from qualification.plan.flows import Flow
from qualification.wire.crafted.outer_checksum import tunnel_sum
from qualification.wire.crafted.packet_sets import MARKS, PACKET_SETS

from .vlan import underlay

_TCP_HEADERS = {4: 20 + 32, 6: 40 + 32}  # with the timestamp option
_UDP_HEADERS = {4: 28, 6: 48}
_NUMBER = {"dut": 1, "peer": 2}
_STREAMS = {"tcp": 8, "udp": 16}
_DEADLINE = 20.0
_OUTER_TARGET_SOURCE_PORT = 50_000
_PACE = 100_000
_ENDLESS = 1 << 20
"""Frames of what goes on until it is stopped."""
_PARKED_FRAMES, _PARKED = 16_384, 48 << 20
"""Frames and bytes, at most, that rings and socket buffers have room for: what comes in a tenth of
a second or two, in which a reader may get no CPU. Far fewer jumbo frames make a burst."""
_TCP_TIMES = 5
"""As many times that in a burst of TCP, which waits for its receiver: enough to exclude a rate of
1e-4 at 99.9 %."""
_SNAP = 256
"""Bytes of each frame that the sender's capture keeps: headers are all it looks at."""
_HEADERS_IN_RING = 128
"""Bytes in a ring beside each packet, at most (include/uapi/linux/if_packet.h)."""
_RING_SPARE = 8 << 20
"""Ring beyond what a burst fills, bytes: half a second's worth of blocks, however few frames they
hold, and a crafted packet set of its own."""
_FIRST_PORT, _LAST_PORT = 20_000, 60_000
_NO_VNI = 0
"""Whose inner addresses crafted packet sets have: none of an end that would take them in, and the same in all
tunnels."""


def inner_address(role: Role, vni: int, family: Literal[4, 6]) -> str:
    """Inner addresses live in a namespace of their own and so collide with nothing."""
    net, host = vni & 0xFF, _NUMBER[role]
    return f"10.86.{net}.{host}" if family == 4 else f"fd56:58:{net}::{host}"


def inner_mac(role: Role, vni: int) -> str:
    """A locally administered address that tells end and VNI."""
    return f"02:56:58:{vni >> 8 & 0xFF:02x}:{vni & 0xFF:02x}:{_NUMBER[role]:02x}"


def nobody(vni: int, family: Literal[4, 6]) -> str:
    """An inner address that neither end has: what is sent to it is captured, and not answered."""
    net = vni & 0xFF
    return f"10.86.{net}.77" if family == 4 else f"fd56:58:{net}::77"


def device_name(vni: int) -> str:
    """The VXLAN device of a VNI, in the tunnel namespace."""
    return f"vx{vni:x}"


def tunnel_orders(ends: Ends, role: Role, flows: tuple[Flow, ...]) -> tuple[TunnelOrder, ...]:
    """One VXLAN device for each outer variant among the flows."""
    variants = {flow.vni: flow for flow in flows}
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
            source_port=_OUTER_TARGET_SOURCE_PORT if flow.outer_target else 0,
        )
        for vni, flow in variants.items()
        for link, local, remote in [underlay(ends, role, flow)]
    )


@dataclass(frozen=True)
class BurstOrders:
    """What both ends do for one burst.

    Attributes:
        flow: Sent by the DUT: by its sockets, and received by the peer's, or as a crafted packet set.
        sender: Capture on the DUT.
        receiver: Capture on the peer.
        back: What the peer sends meanwhile, if it does.
    """

    flow: FlowOrder | CraftedOrder
    sender: CaptureOrder
    receiver: CaptureOrder
    reverse: FlowOrder | None = None


class OrderBuilder:
    """Makes the orders of a pair's bursts, each with a port and a seed of its own.

    Args:
        ends: The pair.
        vnis: Every VNI in use.
        seed: The run's seed.

    Attributes:
        seed: The run's seed, for the bursts to come.
    """

    def __init__(self, ends: Ends, vnis: tuple[int, ...], seed: int) -> None:
        self._ends = ends
        self._vnis = vnis
        self.seed = seed
        self._count = 0
        self._marked = Counter[int]()

    def most(self, flow: Flow) -> int:
        """Most frames of one burst."""
        return self._parked * (_TCP_TIMES if flow.l4 == "tcp" else 1)

    @property
    def _parked(self) -> int:
        return min(_PARKED_FRAMES, _PARKED // self._ends.mtu)

    def packet_set(self, flow: Flow) -> BurstOrders:
        """A crafted packet set, through the flow's tunnel if it has one.

        Its payloads are the run's, and not the burst's: cells are to differ in features alone.
        """
        if not flow.tunnel:
            return self._plain_volley(flow)
        port, _ = self._next()
        order = CraftedOrder(
            packet_set=flow.packet_set,
            protocol=flow.l4,
            segmented=flow.segmentation,
            device=device_name(flow.vni),
            vni=flow.vni,
            source_mac=inner_mac("dut", _NO_VNI),
            destination_mac=inner_mac("peer", _NO_VNI),
            source=inner_address("dut", _NO_VNI, flow.inner),
            destination=nobody(_NO_VNI, flow.inner),
            port=port,
            mtu=self._ends.mtu - flow.overhead,
            seed=self._digest("volleys"),
            tunnel_sum=self._tunnel_sum(flow) if flow.outer_target else None,
        )
        return self._tunnelled(order, flow)

    def _tunnel_sum(self, flow: Flow) -> int:
        source = ip_address(self._ends.outer("dut", flow.outer)).packed
        destination = ip_address(self._ends.outer("peer", flow.outer)).packed
        return tunnel_sum(source, destination, _OUTER_TARGET_SOURCE_PORT, flow.port, flow.vni)

    def _plain_volley(self, flow: Flow) -> BurstOrders:
        """A crafted packet set on the underlay.

        It goes to the peer's own address. One of nobody would be forwarded by a peer that routes,
        as cluster nodes do, and so leave the link. What the peer answers (a reset, an ICMP error)
        comes from it, and is neither captured nor judged.
        """
        port, _ = self._next()
        fixed = PACKET_SETS[flow.packet_set].port
        mark = None if fixed is None else self._mark(fixed)
        order = CraftedOrder(
            packet_set=flow.packet_set,
            protocol=flow.l4,
            segmented=flow.segmentation,
            device=self._ends.dut.facts.interface,
            vni=None,
            source_mac=self._ends.dut.facts.mac,
            destination_mac=self._ends.peer.facts.mac,
            source=self._ends.outer("dut", flow.outer),
            destination=self._ends.outer("peer", flow.outer),
            port=port if fixed is None else fixed,
            mtu=self._ends.mtu,
            seed=self._digest("volleys"),
            ttl=64 if mark is None else mark,
        )
        protocols = (6 if flow.l4 == "tcp" else 17,)
        return self._orders(order, protocols, order.port, None, True, vxlan_port=0, ttl=mark)

    def _mark(self, port: int) -> int:
        """The next TTL for a port that every burst of a crafted packet set goes to.

        It comes again after as many bursts to that port, when no frame of the first can be left:
        each burst ends with all of it arrived or the wire quiet.
        """
        self._marked[port] += 1
        return MARKS[(self._marked[port] - 1) % len(MARKS)]

    def tunnel(self, flow: Flow, frames: int) -> BurstOrders:
        """A burst of a flow through its tunnel, with what there is to be beside it."""
        mtu = self._ends.mtu - flow.overhead
        ends = (
            inner_address("dut", flow.vni, flow.inner),
            inner_address("peer", flow.vni, flow.inner),
        )
        kind = flow.l4, flow.segmentation, flow.inner
        reverse = None
        if flow.load == "both":
            reverse = self._flow(*kind, (ends[1], ends[0]), mtu, _ENDLESS, flow.vni)
            reverse = replace(reverse, pace=_PACE // 4)
        order = self._flow(*kind, ends, mtu, frames, flow.vni)
        if flow.load == "load":
            order = replace(order, streams=order.streams * 4, pace=0)
        return replace(self._tunnelled(order, flow), reverse=reverse)

    def plain(
        self, family: Literal[4, 6], l4: Literal["tcp", "udp"], segmented: bool, frames: int
    ) -> BurstOrders:
        """A burst on the underlay, without a tunnel."""
        addresses = (self._ends.outer("dut", family), self._ends.outer("peer", family))
        order = self._flow(l4, segmented, family, addresses, self._ends.mtu, frames, None)
        return self._orders(order, (6 if l4 == "tcp" else 17,), order.port, None, True)

    def _flow(
        self,
        l4: Literal["tcp", "udp"],
        segmented: bool,
        family: Literal[4, 6],
        addresses: tuple[str, str],
        mtu: int,
        frames: int,
        vni: int | None,
    ) -> FlowOrder:
        port, seed = self._next()
        return FlowOrder(
            vni=vni,
            protocol=l4,
            segmented=l4 == "udp" and segmented,
            source=addresses[0],
            destination=addresses[1],
            port=port,
            frames=frames,
            payload=mtu - (_TCP_HEADERS if l4 == "tcp" else _UDP_HEADERS)[family],
            streams=_STREAMS[l4],
            seed=seed,
            pace=_PACE,
            deadline=_DEADLINE,
        )

    def own(self) -> tuple[int, int]:
        """Port and seed of a burst whose orders are made elsewhere."""
        return self._next()

    def _next(self) -> tuple[int, int]:
        """Port and seed of the next burst.

        Ports are never used twice, so that a late frame cannot be taken for one of this burst.
        """
        port = _FIRST_PORT + self._count
        if port > _LAST_PORT:
            raise LabError(f"more than {_LAST_PORT - _FIRST_PORT} bursts on one pair in one run")
        self._count += 1
        return port, self._digest(str(self._count))

    def _digest(self, of: str) -> int:
        digest = blake2b(f"{self.seed}/{of}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big")

    def _tunnelled(self, order: FlowOrder | CraftedOrder, flow: Flow) -> BurstOrders:
        vlan = self._ends.vlan if flow.vlan else None
        return self._orders(order, (17,), flow.port, flow.vni, flow.outer_checksum, vlan=vlan)

    def _orders(
        self,
        flow: FlowOrder | CraftedOrder,
        protocols: tuple[int, ...],
        port: int,
        vni: int | None,
        outer_checksum: bool,
        *,
        vxlan_port: int | None = None,
        ttl: int | None = None,
        vlan: int | None = None,
    ) -> BurstOrders:
        # Plain traffic of the pair is judged beside its tunnel; a crafted packet set may know better.
        tunnel_port = self._ends.port if vni is None else port
        frames = flow.frames if isinstance(flow, FlowOrder) else 0

        def capture(interface: str, snap: int) -> CaptureOrder:
            kept = _HEADERS_IN_RING + (snap or self._ends.mtu)
            return CaptureOrder(
                interface=interface,
                source_mac=self._ends.dut.facts.mac,
                protocols=protocols,
                port=port,
                vxlan_port=tunnel_port if vxlan_port is None else vxlan_port,
                vni=vni,
                flow_port=flow.port,
                our_vnis=self._vnis,
                late_ports=(_FIRST_PORT, _FIRST_PORT + self._count - 1),
                mtu=self._ends.mtu,
                outer_checksum=outer_checksum,
                snap=snap,
                ring=_RING_SPARE + 2 * min(frames, self._parked) * kept,
                ttl=ttl,
                late_ttls=(MARKS.start, MARKS.stop),
                vlan=vlan,
            )

        return BurstOrders(
            flow,
            sender=capture(self._ends.dut.facts.interface, _SNAP),
            receiver=capture(self._ends.peer.facts.interface, 0),
        )
