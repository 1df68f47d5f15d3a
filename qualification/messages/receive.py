"""What crosses between the controller and a host about frames made for a tunnel's receiver.

As `messages`: frozen dataclasses of JSON types, read again years later.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .bursts import BadFrame, Protocol


@dataclass(frozen=True)
class ReceiveOrder:
    """One burst of frames that one end makes and the other one receives; see `wire.arrivals`.

    Attributes:
        vni: VXLAN network identifier.
        protocol: Inner one, "tcp" or "udp".
        device: The receiver's, in its tunnel namespace.
        vxlan_port: The tunnel's UDP port.
        source_mac: Of the frames on the wire, "02:00:…"; the sender's.
        destination_mac: The receiver's.
        source: Underlay address of the sender.
        destination: Of the receiver.
        inner_source_mac: Nobody's, so that no one takes what the receiver answers.
        inner_destination_mac: The receiver's.
        inner_source: Nobody's, likewise.
        inner_destination: The receiver's.
        port: Inner destination port; unique per burst.
        mtu: Of the link, bytes.
        inner_mtu: Of the tunnel.
        seed: Determines every payload byte.
    """

    vni: int
    protocol: Protocol
    device: str
    vxlan_port: int
    source_mac: str
    destination_mac: str
    source: str
    destination: str
    inner_source_mac: str
    inner_destination_mac: str
    inner_source: str
    inner_destination: str
    port: int
    mtu: int
    inner_mtu: int
    seed: int


@dataclass(frozen=True)
class ShapeResult:
    """What became of the frames of one shape.

    Attributes:
        shape: A key of `wire.arrivals.RIGHT` or `WRONG`, or `REFERENCE`.
        wrong: Names of the layers that were wrong when they arrived; of those that did not, when
            they were sent.
        frames: How many were sent.
        captured: Of those, seen by a capture on the receiver's NIC.
        delivered: Of those sent, given to an application with the bytes that were sent.
        altered: Given to an application with other bytes.
        vouched: Of those captured, marked as checked already (TP_STATUS_CSUM_VALID). Where GRO is
            on, the kernel's own check of the outer checksum shows so, too.
        unfinished: Of those captured, marked as never summed (TP_STATUS_CSUMNOTREADY): what no
            frame is that comes from a wire, and what the kernel believes.
    """

    shape: str
    wrong: tuple[str, ...]
    frames: int = 0
    captured: int = 0
    delivered: int = 0
    altered: int = 0
    csum_valid: int = 0
    csum_not_ready: int = 0


@dataclass(frozen=True)
class ReceiveResult:
    """What the receiver has to say about one burst.

    Attributes:
        tallies: By shape, and by what was wrong with it.
        strangers: Datagrams delivered to the burst's port that are none of those sent.
        drops: Frames the capture lost.
        samples: The first frames that are wrong and were delivered, as they were captured.
        counters: NIC and kernel counters that moved, by name.
        kernel_log: Lines the kernel logged meanwhile that speak of checksums or offloads.
    """

    tallies: tuple[ShapeResult, ...] = ()
    strangers: int = 0
    drops: int = 0
    samples: tuple[BadFrame, ...] = ()
    counters: dict[str, int] = field(default_factory=dict)
    kernel_log: tuple[str, ...] = ()
