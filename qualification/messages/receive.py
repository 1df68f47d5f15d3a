"""The orders and answers of receive tests: frames made for the receiving end of a tunnel.

As in `bursts`, these are frozen dataclasses of JSON types.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .bursts import BadFrame, Protocol


@dataclass(frozen=True)
class ReceiveOrder:
    """One burst of frames that one end makes and the other end receives.

    See `qualification.wire.crafted.receive_tests`.

    Attributes:
        vni: VXLAN network identifier.
        protocol: Inner one, "tcp" or "udp".
        device: The receiver's, in its tunnel namespace.
        vxlan_port: The tunnel's UDP port.
        source_mac: Outer source MAC address, "02:00:…"; the sender's.
        destination_mac: Outer destination MAC address; the receiver's.
        source: Underlay address of the sender.
        destination: Underlay address of the receiver.
        inner_source_mac: One that no host has, so that no host receives the answers.
        inner_destination_mac: The receiver's.
        inner_source: An address that no host has, for the same reason.
        inner_destination: The receiver's.
        port: Inner destination port; unique per burst.
        mtu: Of the link, bytes.
        inner_mtu: Of the tunnel.
        seed: Determines every payload byte.
        pace: Most frames per second; 0 for no limit.
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
    pace: int = 0


@dataclass(frozen=True)
class ShapeResult:
    """The results of the frames of one shape.

    Attributes:
        shape: A key of `wire.crafted.receive_tests.RIGHT` or `WRONG`, or `REFERENCE`.
        wrong: Names of the layers that were wrong in the captured frame; for frames that were not
            captured, in the frame that was sent.
        frames: How many were sent.
        captured: Of those, frames that a capture on the receiver's NIC saw.
        delivered: Of those sent, frames whose payload an application received as it was sent.
        altered: Frames whose payload an application received with other bytes.
        csum_valid: Of those captured, frames marked as verified (TP_STATUS_CSUM_VALID). With GRO
            on, the kernel's own check of the outer checksum sets the mark, too.
        csum_not_ready: Of those captured, frames marked as without a checksum yet
            (TP_STATUS_CSUMNOTREADY), which no frame from a wire can be, and which the kernel
            accepts unchecked.
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
    """What the receiver received of one burst.

    Attributes:
        shapes: Results by shape, and by the layers that are wrong.
        unexpected: Datagrams delivered to the burst's port that were not sent.
        drops: Frames that the capture lost.
        samples: The first wrong frames that were delivered, as they were captured.
        counters: By how much NIC and kernel counters increased, by name; only those that did.
        kernel_log: Lines about checksums or offloads that the kernel logged meanwhile.
    """

    shapes: tuple[ShapeResult, ...] = ()
    unexpected: int = 0
    drops: int = 0
    samples: tuple[BadFrame, ...] = ()
    counters: dict[str, int] = field(default_factory=dict)
    kernel_log: tuple[str, ...] = ()
