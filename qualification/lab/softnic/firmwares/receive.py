"""Receive faults: what the kernel is told of the checksums of frames that arrive.

TUN ignores DATA_VALID (seen in 6.18: virtio_net_hdr_to_skb does not look at it, only virtio's own
driver does). What its kernel believes is NEEDS_CSUM: the frame comes from a friend and was never
summed (CHECKSUM_PARTIAL), so that everything from the outermost checksum to the one it names
counts as good. Naming the inner checksum vouches for both, naming the outer for it alone.
"""

from __future__ import annotations

from qualification.lab.softnic.tx_descriptor import UNCHECKED, RxStatus

from .parts import Layer, Tunnel, tunnel_in
from .registry import FirmwareState, firmware


@firmware("rx-blind", acts="receive")
def rx_blind(frame: bytearray, _state: FirmwareState) -> RxStatus | None:
    """Mark every packet in a tunnel as good, unread: wrong data is delivered."""
    tunnel = tunnel_in(frame)
    return _vouch(tunnel.inner) if tunnel and tunnel.inner else UNCHECKED


@firmware("rx-level", acts="receive")
def rx_level(frame: bytearray, _state: FirmwareState) -> RxStatus | None:
    """Check the outer checksum only, and count it as both: wrong data under it is delivered."""
    tunnel = tunnel_in(frame)
    if not tunnel or not tunnel.inner or not _outer_is_good(tunnel, frame):
        return UNCHECKED
    return _vouch(tunnel.inner)


@firmware("rx-strict", acts="receive", of=("zero", "padding", "inner6"))
def rx_strict(frame: bytearray, state: FirmwareState) -> RxStatus | None:
    """Drop good packets: with an outer checksum of 0, with padding inside, or with IPv6 inside."""
    tunnel = tunnel_in(frame)
    if not tunnel:
        return UNCHECKED
    word, inner = state.knobs["of"], tunnel.inner
    refused = (
        (word == "zero" and tunnel.outer.read(frame) == 0)
        or (word == "padding" and inner is not None and _padded(tunnel, inner, frame))
        or (word == "inner6" and inner is not None and inner.family == 6)
    )
    return None if refused else UNCHECKED


def _vouch(layer: Layer) -> RxStatus:
    return RxStatus(layer.l4, layer.field - layer.l4)


def _outer_is_good(tunnel: Tunnel, frame: bytearray) -> bool:
    """Tell whether there is an outer checksum and it is right."""
    outer = tunnel.outer
    there = outer.read(frame)
    return there != 0 and there % 65535 == outer.summed(frame) % 65535


def _padded(tunnel: Tunnel, inner: Layer, frame: bytearray) -> bool:
    """Tell whether the frame in the tunnel is longer than its IP packet."""
    return inner.end(frame) < tunnel.outer.end(frame)
