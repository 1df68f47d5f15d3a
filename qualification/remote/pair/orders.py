"""Builds the orders for the two agents of a pair: bursts and their captures. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Literal

from qualification.inventory import Ends, Role
from qualification.judge.pace import FASTEST, SLOWEST, PaceFound
from qualification.messages.bursts import CaptureOrder, CraftedOrder, FlowOrder
from qualification.plan.flows import Flow
from qualification.wire.crafted.catalogue import BURST_TTLS, PACKET_SETS
from qualification.wire.crafted.outer_checksum_target import tunnel_sum

from .addresses import NO_VNI, device_name, inner_address, inner_mac, nobody
from .allotment import Allotment
from .tunnel_orders import OUTER_TARGET_SOURCE_PORT, TUNNEL_TTL

_TCP_HEADERS = {4: 20 + 32, 6: 40 + 32}  # with the timestamp option
_UDP_HEADERS = {4: 28, 6: 48}
_IP_PROTOCOL = {"tcp": 6, "udp": 17}
_STREAMS = {"tcp": 8, "udp": 16}
_DEADLINE = 20.0
_IN_FLIGHT = 46
"""Frames of TCP on the way at once on a slow path: as many as UDP_SEGMENT makes of one buffer, with
which the pace was found."""
_MOST_SEGMENTS = 32
"""Segments of a crafted super-packet on a slow path, so that a ring of 64 frames holds two."""
_PACKET_SET_FRAMES = 4_096
"""More than any crafted packet set has."""
_ENDLESS = 1 << 20
"""Frames of traffic that runs until it is stopped."""
_PARKED_FRAMES, _PARKED = 16_384, 48 << 20
"""The most frames and bytes that rings and socket buffers have room for: what arrives in a tenth of
a second or two, in which a reader may get no CPU. A burst of jumbo frames has far fewer."""
_TCP_TIMES = 5
"""How many times that number a burst of TCP has, as TCP waits for its receiver: enough to exclude a
rate of 1e-4 at 99.9 %."""
_SNAP = 256
"""Bytes of each frame that the sender's capture keeps: it looks at headers only."""
_HEADERS_IN_RING = 128
"""The most bytes that a ring needs for each packet in addition to the packet
(include/uapi/linux/if_packet.h)."""
_RING_SPARE = 8 << 20
"""Bytes of ring in addition to those that a burst fills: blocks for half a second, however few
frames they hold, and room for a crafted packet set."""


@dataclass(frozen=True)
class BurstOrders:
    """What both ends do for one burst.

    Attributes:
        flow: What the DUT sends: a flow from its sockets to the peer's, or a crafted packet set.
        sender: The capture on the DUT.
        receiver: The capture on the peer.
        reverse: What the peer sends at the same time, if anything.
    """

    flow: FlowOrder | CraftedOrder
    sender: CaptureOrder
    receiver: CaptureOrder
    reverse: FlowOrder | None = None

    @property
    def pace(self) -> int:
        """Frames per second of the burst; 0 for no limit."""
        return self.flow.pace

    @property
    def seconds(self) -> float:
        """How long the burst takes at its pace."""
        frames = self.flow.frames if isinstance(self.flow, FlowOrder) else _PACKET_SET_FRAMES
        return frames / self.pace if self.pace else 0.0


class OrderBuilder:
    """Builds the orders of a pair's bursts, each with a port and a seed of its own.

    Args:
        ends: The pair.
        vnis: Every VNI in use.
        seed: The run's seed.
        fastest: Frames per second of the first bursts, and the most of any.

    Attributes:
        fastest: As given.
        allotment: Allots ports, seeds and TTL marks to the bursts.
        pace: Frames per second of all bursts, except under load.
        receive_paces: Frames per second of receive tests, by the end that receives, where that end
            was found to need another pace.
        slow: Whether the path lost frames at a faster pace: it has no room for long trains then.
    """

    def __init__(
        self, ends: Ends, vnis: tuple[int, ...], seed: int, fastest: int = FASTEST
    ) -> None:
        self._ends = ends
        self._vnis = vnis
        self.allotment = Allotment(seed)
        self.fastest = fastest
        self.receive_paces: dict[Role, int] = {}
        self.pace, self.slow = fastest, False

    def keep(self, found: PaceFound) -> None:
        """Has all bursts from now on keep the pace that was found."""
        self.pace, self.slow = found.pace, found.lowered

    def slow_down(self, achieved: int) -> None:
        """Slows all bursts down from now on, to less than the sender came to.

        Args:
            achieved: Frames per second that the sender came to, which may be less than the pace.
        """
        self.pace = max(SLOWEST, min(self.pace, achieved) * 3 // 4)

    def max_frames(self, flow: Flow) -> int:
        """Returns the largest number of frames of one burst."""
        return self._parked * (_TCP_TIMES if flow.l4 == "tcp" else 1)

    @property
    def _parked(self) -> int:
        return min(_PARKED_FRAMES, _PARKED // self._ends.mtu)

    def packet_set(self, flow: Flow) -> BurstOrders:
        """Builds a burst of a crafted packet set, through the flow's tunnel if it has one.

        The run's seed determines the payloads, and the burst's does not: cells must differ in
        their offloads only.
        """
        if not flow.tunnel:
            return self._plain_packet_set(flow)
        port, _ = self.allotment.port_and_seed()
        order = CraftedOrder(
            packet_set=flow.packet_set,
            protocol=flow.l4,
            segmented=flow.segmentation,
            device=device_name(self._ends.vni(flow.vni)),
            vni=self._ends.vni(flow.vni),
            source_mac=inner_mac("dut", NO_VNI),
            destination_mac=inner_mac("peer", NO_VNI),
            source=inner_address("dut", NO_VNI, flow.inner),
            destination=nobody(NO_VNI, flow.inner),
            port=port,
            mtu=self._ends.mtu - flow.overhead,
            seed=self.allotment.derived_seed("crafted"),
            tunnel_sum=self._tunnel_sum(flow) if flow.outer_target else None,
            pace=self.pace,
            most_segments=_MOST_SEGMENTS if self.slow else 0,
        )
        return self._tunnelled(order, flow)

    def _tunnel_sum(self, flow: Flow) -> int:
        source = ip_address(self._ends.outer("dut", flow.outer)).packed
        destination = ip_address(self._ends.outer("peer", flow.outer)).packed
        return tunnel_sum(
            source, destination, OUTER_TARGET_SOURCE_PORT, flow.port, self._ends.vni(flow.vni)
        )

    def _plain_packet_set(self, flow: Flow) -> BurstOrders:
        """Builds a burst of a crafted packet set on the underlay.

        It goes to the peer's own address. A peer that routes, as cluster nodes do, would forward
        packets to an address that nobody has, and they would leave the link. What the peer answers
        (a reset, an ICMP error) is sent by the peer, and is neither captured nor judged.
        """
        port, _ = self.allotment.port_and_seed()
        fixed = PACKET_SETS[flow.packet_set].port
        mark = None if fixed is None else self.allotment.mark(fixed)
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
            seed=self.allotment.derived_seed("crafted"),
            ttl=64 if mark is None else mark,
            pace=self.pace,
            most_segments=_MOST_SEGMENTS if self.slow else 0,
        )
        protocols = (_IP_PROTOCOL[flow.l4],)
        return self._orders(order, protocols, order.port, None, True, vxlan_port=0, ttl=mark)

    def tunnel(self, flow: Flow, frames: int) -> BurstOrders:
        """Builds a burst of a flow through its tunnel, with the flow's reverse traffic if any."""
        mtu, vni = self._ends.mtu - flow.overhead, self._ends.vni(flow.vni)
        ends = (
            inner_address("dut", vni, flow.inner),
            inner_address("peer", vni, flow.inner),
        )
        kind = flow.l4, flow.segmentation, flow.inner
        reverse = None
        if flow.load == "both":
            reverse = self._flow(*kind, (ends[1], ends[0]), mtu, _ENDLESS, vni)
            reverse = replace(reverse, pace=max(1, self.pace // 4))
        order = self._flow(*kind, ends, mtu, frames, vni)
        if flow.load == "load":
            order = replace(order, streams=order.streams * 4, pace=0, in_flight=0)
        return replace(self._tunnelled(order, flow), reverse=reverse)

    def plain(
        self, family: Literal[4, 6], l4: Literal["tcp", "udp"], segmented: bool, frames: int
    ) -> BurstOrders:
        """Builds a burst on the underlay, without a tunnel."""
        addresses = (self._ends.outer("dut", family), self._ends.outer("peer", family))
        order = self._flow(l4, segmented, family, addresses, self._ends.mtu, frames, None)
        return self._orders(order, (_IP_PROTOCOL[l4],), order.port, None, True)

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
        port, seed = self.allotment.port_and_seed()
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
            pace=self.pace,
            deadline=_DEADLINE + 2 * frames / self.pace,
            in_flight=_IN_FLIGHT if self.slow else 0,
        )

    def _tunnelled(self, order: FlowOrder | CraftedOrder, flow: Flow) -> BurstOrders:
        vlan = self._ends.vlan if flow.vlan else None
        protocols = (_IP_PROTOCOL["udp"],)
        return self._orders(
            order, protocols, flow.port, self._ends.vni(flow.vni), flow.outer_checksum, vlan=vlan
        )

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
        # The capture of plain traffic knows the pair's tunnel port, unless a crafted packet set,
        # which may use that port without a tunnel, gives another one.
        tunnel_port = self._ends.port if vni is None else port
        frames = flow.frames if isinstance(flow, FlowOrder) else 0

        def capture(interface: str, snap: int) -> CaptureOrder:
            frame_bytes = _HEADERS_IN_RING + (snap or self._ends.mtu)
            return CaptureOrder(
                interface=interface,
                source_mac=self._ends.dut.facts.mac,
                protocols=protocols,
                port=port,
                vxlan_port=tunnel_port if vxlan_port is None else vxlan_port,
                vni=vni,
                flow_port=flow.port,
                our_vnis=self._vnis,
                late_ports=self.allotment.earlier_ports,
                mtu=self._ends.mtu,
                outer_checksum=outer_checksum,
                snap=snap,
                ring=_RING_SPARE + 2 * min(frames, self._parked) * frame_bytes,
                ttl=ttl,
                late_ttls=(BURST_TTLS.start, BURST_TTLS.stop),
                vlan=vlan,
                tunnel_ttl=0 if vni is None else TUNNEL_TTL,
            )

        return BurstOrders(
            flow,
            sender=capture(self._ends.dut.facts.interface, _SNAP),
            receiver=capture(self._ends.peer.facts.interface, 0),
        )
