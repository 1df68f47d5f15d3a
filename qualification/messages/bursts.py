"""The orders and answers of bursts: flows, crafted packet sets, captures and what was sent.

These are frozen dataclasses of JSON types, so that a stored run can be read again years later. The
agents import this module with Python 3.9.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .submitted import SubmittedPacket

Family = Literal[4, 6]
Protocol = Literal["tcp", "udp"]

SEGMENT = "segment"
"""Is listed among a frame's bad layers if the frame is not one of the expected frames."""


@dataclass(frozen=True)
class FlowOrder:
    """One burst of one flow.

    Attributes:
        vni: VXLAN network identifier, or None for plain traffic on the underlay.
        protocol: "tcp" or "udp".
        segmented: UDP only: let the kernel build super-packets with UDP_SEGMENT.
        source: Address of the sender.
        destination: Address of the receiver.
        port: Destination port; unique per burst, so that a late frame of an earlier burst is
            recognised.
        frames: Frames to put on the wire.
        payload: Largest payload of one frame, bytes.
        streams: Number of sockets; several give several outer source ports and NIC queues.
        seed: Determines every payload byte.
        pace: Most frames per second on the wire; 0 for no limit.
        deadline: Seconds after which the burst ends, complete or not.
        in_flight: TCP only: most frames that may be on the way at once, over all streams; 0 for no
            limit. A pace spaces super-packets, and not the frames that the NIC makes of one.
    """

    vni: int | None
    protocol: Protocol
    segmented: bool
    source: str
    destination: str
    port: int
    frames: int
    payload: int
    streams: int
    seed: int
    pace: int
    deadline: float
    in_flight: int = 0


@dataclass(frozen=True)
class CraftedOrder:
    """One crafted packet set; see `qualification.wire.crafted.catalogue`.

    Attributes:
        packet_set: Its name.
        protocol: "tcp" or "udp".
        segmented: Whether it has super-packets.
        device: The device to send on: in the tunnel namespace, or the underlay interface.
        vni: VXLAN network identifier, or None for plain traffic on the underlay.
        source_mac: Source MAC address of the frames, inside the tunnel.
        destination_mac: Destination MAC address of the frames, inside the tunnel.
        source: Address of the sender.
        destination: In a tunnel an address that no host has, so that no host answers; else the
            peer's.
        port: Destination port; unique per burst, unless the packet set prescribes one.
        mtu: Largest IP packet in it, bytes.
        seed: Determines every payload byte.
        ttl: TTL or hop limit, unless the packet set prescribes one.
        tunnel_sum: What the tunnel adds to the outer checksum; see
            `qualification.wire.crafted.outer_checksum_target`. None if there is no target.
        pace: Most frames per second on the wire; 0 for no limit.
        most_segments: Super-packets of more segments are left out; 0 for none. Their frames leave
            as close together as the NIC sends them, whatever the pace.
    """

    packet_set: str
    protocol: Protocol
    segmented: bool
    device: str
    vni: int | None
    source_mac: str
    destination_mac: str
    source: str
    destination: str
    port: int
    mtu: int
    seed: int
    ttl: int = 64
    tunnel_sum: int | None = None
    pace: int = 0
    most_segments: int = 0


@dataclass(frozen=True)
class CaptureOrder:
    """What to capture on a NIC.

    Attributes:
        interface: The NIC.
        source_mac: Only frames from this address, "02:00:…".
        protocols: IP protocol numbers of the outermost transport, such as (17,).
        port: Its destination port.
        vxlan_port: The port whose payload is VXLAN; 0 for none.
        vni: The flow's VNI, or None for plain traffic.
        flow_port: The flow's own destination port (inner, in a tunnel).
        our_vnis: Every VNI of this run.
        late_ports: Flow ports of earlier bursts, from the first up to, not including, the second:
            frames of this run to these ports are late.
        mtu: Of the link, bytes; a larger frame was never on the wire.
        outer_checksum: Whether the tunnel has an outer UDP checksum.
        keep: How many bad frames are stored with their bytes.
        snap: Bytes captured of each frame; 0 for all of it.
        ring: Ring size, bytes.
        ttl: The TTL that identifies the frames of the burst, if it shares its port with other
            bursts; see `qualification.wire.crafted.catalogue.BURST_TTLS`.
        late_ttls: The TTLs that only frames of such bursts have, from the first up to, not
            including, the second.
        vlan: Tag control information that each frame must carry (IEEE 802.1Q); None if tags are not
            checked.
        tunnel_ttl: TTL or hop limit that each outer header of the flow must have, and with it all
            else that is constant in the outer headers of a tunnel; 0 if they are not checked.
    """

    interface: str
    source_mac: str
    protocols: tuple[int, ...]
    port: int
    vxlan_port: int
    vni: int | None
    flow_port: int
    our_vnis: tuple[int, ...]
    late_ports: tuple[int, int]
    mtu: int
    outer_checksum: bool
    keep: int = 64
    snap: int = 0
    ring: int = 64 << 20
    ttl: int | None = None
    late_ttls: tuple[int, int] = (0, 0)
    vlan: int | None = None
    tunnel_ttl: int = 0


@dataclass(frozen=True)
class Submitted:
    """What the sending kernel submitted to the driver, by a tap on the sender.

    There, checksums are not filled in and super-packets are not segmented yet, which proves that
    the hardware has work to do.

    Attributes:
        packets: Buffers submitted.
        frames: Frames that they make on the wire.
        csum_partial: Of those, frames whose checksum is left to the NIC (CHECKSUM_PARTIAL).
        super_packets: Buffers that the NIC has to segment.
        segments: Frames that super-packets make.
        drops: Buffers that the tap lost.
        paths: The pairs of outer and inner source port of a tunnel's buffers, as "outer>inner".
            What is stored leaves them out.
    """

    packets: int = 0
    frames: int = 0
    csum_partial: int = 0
    super_packets: int = 0
    segments: int = 0
    drops: int = 0
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class BadFrame:
    """A bad frame, as it was on the wire.

    Attributes:
        data: The bytes, base64; a VLAN tag that the receiving NIC has stripped is restored.
        layers: Names of the layers that are wrong.
        findings: A sentence for each finding, with the value found and the right one.
        counterpart: A right frame of the same flow and length that arrived near it, base64; empty
            where there was none, or none was looked for.
        submitted: What the sender submitted to the driver for it; None where that is unknown.
    """

    data: str
    layers: tuple[str, ...]
    findings: tuple[str, ...]
    counterpart: str = ""
    submitted: SubmittedPacket | None = None


@dataclass(frozen=True)
class CaptureResult:
    """What the peer's capture saw.

    Attributes:
        frames: Frames of the flow that were verified in full.
        bad: Of those, frames that are wrong in at least one layer.
        bad_layers: Bad frames by layer.
        unasked: Frames with an outer checksum although the tunnel has none.
        unjudged: Frames of the flow that could not be verified in full, by reason: the verifier's,
            "csum-not-ready" (the checksum was not filled in yet, so the frame crossed no wire) and
            "over-mtu" (merged on receipt, or never segmented).
        late: Frames of an earlier burst; not verified.
        foreign: Frames of other hosts or runs; not verified.
        drops: Frames that the capture lost.
        samples: The first bad frames.
        shapes: Frames verified, and bad frames among them, by dimension and value; see
            `dimensions`.
        paths: Right frames of a tunnel by outer and inner source port, as "outer>inner". What is
            stored has only pairs that were not submitted to the driver.
    """

    frames: int = 0
    bad: int = 0
    bad_layers: dict[str, int] = field(default_factory=dict)
    unasked: int = 0
    unjudged: dict[str, int] = field(default_factory=dict)
    late: int = 0
    foreign: int = 0
    drops: int = 0
    samples: tuple[BadFrame, ...] = ()
    shapes: dict[str, dict[str, tuple[int, int]]] = field(default_factory=dict)
    paths: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Delivered:
    """What the application on the peer received.

    Attributes:
        received: Datagrams, or payload bytes of streams.
        corrupt: Datagrams (or chunks of streams) whose bytes are not those that were sent.
        duplicates: Datagrams that were received before.
        complete: Whether every stream was read to its end, or every datagram was received.
    """

    received: int = 0
    corrupt: int = 0
    duplicates: int = 0
    complete: bool = False


@dataclass(frozen=True)
class Sent:
    """What the sender did.

    Attributes:
        submitted: What the kernel submitted to the driver.
        written: Datagrams, or payload bytes of streams, given to the kernel.
        complete: Whether all of the burst was sent before the deadline.
        seconds: How long it took.
        counters: By how much NIC and kernel counters increased, by name; only those that did.
        kernel_log: Lines about checksums or offloads that the kernel logged meanwhile.
        reverse: Payload bytes of reverse traffic received from the peer by the end of the burst.
        refused: Frames of a crafted packet set whose buffers the kernel did not take.
    """

    submitted: Submitted
    written: int
    complete: bool
    seconds: float
    counters: dict[str, int]
    kernel_log: tuple[str, ...] = ()
    reverse: int = 0
    refused: int = 0


@dataclass(frozen=True)
class Received:
    """What the peer received of one burst.

    Attributes:
        captured: What its capture saw.
        delivered: What the application received.
        counters: By how much NIC and kernel counters increased, by name; only those that did.
        kernel_log: Lines about checksums or offloads that the kernel logged meanwhile.
    """

    captured: CaptureResult
    delivered: Delivered
    counters: dict[str, int]
    kernel_log: tuple[str, ...] = ()
