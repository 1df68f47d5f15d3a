"""What crosses between the controller and a host about bursts: orders down, evidence up.

Pure data: frozen dataclasses of JSON types, so that a stored run can be read again years later.
Python 3.9 reads this module on the hosts; the controller parses the same classes with pydantic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Family = Literal[4, 6]
Protocol = Literal["tcp", "udp"]

SEGMENT = "segment"
"""Named beside the layers: a frame whose bytes are not those that were due."""


@dataclass(frozen=True)
class FlowOrder:
    """One burst of one flow.

    Attributes:
        vni: VXLAN network identifier, or None for plain traffic on the underlay.
        protocol: "tcp" or "udp".
        segmented: UDP only: let the kernel build super-packets with UDP_SEGMENT.
        source: Address of the sender.
        destination: Address of the receiver.
        port: Destination port; unique per burst, so that a late frame of an earlier burst is known.
        frames: Frames wanted on the wire.
        payload: Largest payload of one frame, bytes.
        streams: Sockets to spread over, so that outer source ports and queues spread too.
        seed: Determines every payload byte.
        pace: Frames per second at most (UDP); 0 for as many as there can be.
        deadline: Seconds after which what has been sent is all there is.
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


@dataclass(frozen=True)
class CraftedOrder:
    """One crafted packet set of crafted buffers; see `qualification.wire.crafted.packet_sets`.

    Attributes:
        packet_set: Its name.
        protocol: "tcp" or "udp".
        segmented: Super-packets are among them.
        device: The sender's, in the tunnel namespace; the underlay interface without a tunnel.
        vni: VXLAN network identifier, or None for plain traffic on the underlay.
        source_mac: Of the frames, inside the tunnel.
        destination_mac: The same.
        source: Address of the sender.
        destination: Of nobody in a tunnel, so that nobody answers; of the peer without one.
        port: Destination port; unique per burst, unless the crafted packet set says which.
        mtu: Most bytes of an IP packet in it.
        seed: Determines every payload byte.
        ttl: Or hop limit, where the crafted packet set does not say otherwise.
        tunnel_sum: What the tunnel adds to the outer checksum; see `qualification.wire.aimed`.
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


@dataclass(frozen=True)
class CaptureOrder:
    """What to watch on a NIC.

    Attributes:
        interface: Where.
        source_mac: Only frames from this address, "02:00:…".
        protocols: IP protocol numbers of the outermost transport, such as (17,).
        port: Its destination port.
        vxlan_port: The port whose payload is VXLAN; 0 for none.
        vni: The flow's VNI, or None for plain traffic.
        flow_port: The flow's own destination port (inner, in a tunnel).
        our_vnis: Every VNI of this run.
        late_ports: Flow ports of earlier bursts, from the first up to, not including, the second:
            frames of ours to these are late.
        mtu: Of the link, bytes; a larger frame was on no wire.
        outer_checksum: Whether the outer UDP checksum was asked for.
        keep: Bad frames kept as bytes.
        snap: Bytes kept of each frame; 0 for all of it.
        ring: Ring size, bytes.
        ttl: What tells the burst's frames from others to its port, if that is not its own; see
            `qualification.wire.crafted.packet_sets.MARKS`.
        late_ttls: Range of TTLs, its second without, that no frame has but those of such bursts.
        vlan: Tag control information that each frame has to carry (IEEE 802.1Q); None for frames
            of whose tag nothing is said.
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


@dataclass(frozen=True)
class Submitted:
    """What the sending kernel handed to its NIC, read off a capture on the sender.

    There, checksums are not yet filled in and super-packets are not yet cut: exactly that is the
    proof that hardware has work to do.

    Attributes:
        packets: Buffers handed over.
        frames: Frames they make on the wire.
        unfinished: Of those, frames whose checksum is left to the NIC.
        super_packets: Buffers to be cut.
        segments: Frames that come from super-packets.
        drops: Buffers the capture lost.
    """

    packets: int = 0
    frames: int = 0
    csum_partial: int = 0
    super_packets: int = 0
    segments: int = 0
    drops: int = 0


@dataclass(frozen=True)
class BadFrame:
    """A frame that is wrong, as it was on the wire.

    Attributes:
        data: The bytes, base64; a VLAN tag that the NIC had stripped is put back.
        layers: Names of the layers that are wrong.
        findings: A sentence each, with the value found and the right one.
    """

    data: str
    layers: tuple[str, ...]
    findings: tuple[str, ...]


@dataclass(frozen=True)
class CaptureResult:
    """What the peer saw on the wire.

    Attributes:
        frames: Frames of the flow that were judged in every layer asked for.
        bad: Of those, wrong in at least one layer.
        bad_layers: Wrong frames by layer.
        unasked: Frames with an outer checksum where none was asked for.
        unjudged: Frames of the flow that could not be judged in full, by reason: those of the
            verifier, "csum-not-ready" (the checksum was still to be filled in: it crossed no wire) and
            "over-mtu" (merged on receipt, or never cut).
        late: Frames of an earlier burst; not judged.
        foreign: Frames that are not ours; not judged.
        drops: Frames the capture lost.
        samples: The first wrong frames.
        shapes: Frames judged and wrong ones among them, by dimension and value; see `shapes`.
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


@dataclass(frozen=True)
class Delivered:
    """What the application on the peer received.

    Attributes:
        received: Datagrams, or payload bytes of a stream.
        corrupt: Datagrams (or stream chunks) whose bytes are not those that were sent.
        duplicates: Datagrams that came again.
        complete: Every stream was read to its end, or every datagram came.
    """

    received: int = 0
    corrupt: int = 0
    duplicates: int = 0
    complete: bool = False


@dataclass(frozen=True)
class Sent:
    """What the sender did.

    Attributes:
        submitted: The kernel's hand-over to the NIC.
        written: Datagrams, or payload bytes of streams, given to the kernel.
        complete: Everything asked for was sent before the deadline.
        seconds: How long it took.
        counters: NIC and kernel counters that moved, by name.
        kernel_log: Lines the kernel logged meanwhile that speak of checksums or offloads.
        back: Payload bytes that had come from the peer by its end, where it was to send some.
    """

    submitted: Submitted
    written: int
    complete: bool
    seconds: float
    counters: dict[str, int]
    kernel_log: tuple[str, ...] = ()
    reverse: int = 0


@dataclass(frozen=True)
class Received:
    """What the peer has to say about one burst; see `Seen` and `Delivered`."""

    captured: CaptureResult
    delivered: Delivered
    counters: dict[str, int]
    kernel_log: tuple[str, ...] = ()
