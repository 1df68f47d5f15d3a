"""Receive faults: wrong checksum status of received frames.

TUN ignores DATA_VALID (seen in 6.18: virtio_net_hdr_to_skb does not look at it, only virtio's own
driver does). It does believe NEEDS_CSUM: the frame comes from a trusted sender and was never summed
(CHECKSUM_PARTIAL), so every checksum from the outermost to the named one counts as valid. Naming
the inner checksum declares both valid, naming the outer one only that.
"""

from __future__ import annotations

from qualification.lab.softnic.tx_descriptor import UNCHECKED, RxStatus

from .parts import Layer, Tunnel, tunnel_in
from .registry import FirmwareState, firmware


@firmware("rx-blind", acts="receive")
def rx_blind(frame: bytearray, _state: FirmwareState) -> RxStatus | None:
    """Reports every packet in a tunnel as valid without a check: wrong data is delivered."""
    tunnel = tunnel_in(frame)
    return _valid_up_to(tunnel.inner) if tunnel and tunnel.inner else UNCHECKED


@firmware("rx-level", acts="receive")
def rx_level(frame: bytearray, _state: FirmwareState) -> RxStatus | None:
    """Checks only the outer checksum and reports both as valid: wrong data inside is delivered."""
    tunnel = tunnel_in(frame)
    if not tunnel or not tunnel.inner or not _outer_is_good(tunnel, frame):
        return UNCHECKED
    return _valid_up_to(tunnel.inner)


@firmware("rx-strict", acts="receive", of=("zero", "padding", "inner6"))
def rx_strict(frame: bytearray, state: FirmwareState) -> RxStatus | None:
    """Drops good packets: with an outer checksum of 0, with padding inside, or with IPv6 inside."""
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


def _valid_up_to(layer: Layer) -> RxStatus:
    """Returns the status that declares a layer's checksum and those outside of it valid."""
    return RxStatus(layer.l4, layer.field - layer.l4)


def _outer_is_good(tunnel: Tunnel, frame: bytearray) -> bool:
    """Returns whether there is an outer checksum and it is correct."""
    outer = tunnel.outer
    found = outer.read(frame)
    return found != 0 and found % 65535 == outer.summed(frame) % 65535


def _padded(tunnel: Tunnel, inner: Layer, frame: bytearray) -> bool:
    """Returns whether the frame in the tunnel is longer than its IP packet."""
    return inner.end(frame) < tunnel.outer.end(frame)
