"""Transmit faults in the computation of a checksum.

None of them changes traffic outside of tunnels, or checksums that the kernel computed itself.
"""

from __future__ import annotations

from collections.abc import Callable

from qualification.lab.softnic.tx_descriptor import GSO_NONE, TxDescriptor

from .parts import U16, UDP, Layer, Tunnel, garble, tunnel_of
from .registry import FirmwareState, firmware

_INNER_FIRST = ("inner", "outer", "both")

Wrong = Callable[[bytearray, Layer], int]


def write_wrong(
    frames: list[bytearray], tunnel: Tunnel | None, state: FirmwareState, wrong: Wrong
) -> list[bytearray]:
    """Replaces the checksums that the NIC computes, in the layers that the knob `layer` names.

    Args:
        frames: Correct frames; changed in place.
        tunnel: Their layout; if it is None, nothing is changed.
        state: Its knob `p`, if there is one, is the share of frames that are changed.
        wrong: Returns the checksum to write, for a frame and a layer.

    Returns:
        The frames.
    """
    layers = tunnel.chosen(state.knobs["layer"]) if tunnel else []
    if not tunnel or not layers:
        return frames
    for frame in frames:
        if "p" in state.knobs and not state.chance("p"):
            continue
        for layer in layers:
            correct = layer.read(frame)
            value = wrong(frame, layer)
            if value != correct:
                layer.write(frame, value)
                if layer is tunnel.inner:
                    tunnel.settle(frame)
    return frames


@firmware("random-p", touches="segmented", p=0.03)
def random_p(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Corrupts the outer checksum of tunnel segments, on a share `p` of them at random.

    It changes only what `tx-udp_tnl-csum-segmentation` leaves to the NIC, as the X710 of the
    incident did.
    """
    if not (descriptor.tunnel_csum and descriptor.gso != GSO_NONE):
        return frames
    for frame in frames:
        if state.chance("p"):
            garble(frame, descriptor.l4 + 6, state.rng)
    return frames


@firmware("seed-left", layer=_INNER_FIRST, p=1.0)
def seed_left(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Leaves the pseudo-header sum in the field: no sum over the payload."""

    def left(_frame: bytearray, layer: Layer) -> int:
        return layer.read(descriptor.frame)

    return write_wrong(frames, tunnel_of(descriptor, frames), state, left)


@firmware("unasked-outer", right=True)
def unasked_outer(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Fills in the outer checksum, `right` or with noise, where the stack asked for 0."""
    tunnel = tunnel_of(descriptor, frames)
    if not tunnel or not tunnel.inner or not tunnel.inner.asked:
        return frames
    outer = tunnel.outer
    for frame in frames:
        if outer.read(frame) == 0:
            outer.write(frame, outer.summed(frame))
            if not state.knobs["right"]:
                garble(frame, outer.field, state.rng)
    return frames


@firmware("outer-garbage", value=("ffff", "noise"), p=1.0)
def outer_garbage(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Writes 0xffff or noise as the outer checksum; the inner one is correct."""
    tunnel = tunnel_of(descriptor, frames)
    if not tunnel or not tunnel.outer.asked:
        return frames
    for frame in frames:
        if not state.chance("p"):
            continue
        if state.knobs["value"] == "noise":
            garble(frame, tunnel.outer.field, state.rng)
        else:
            tunnel.outer.write(frame, 0xFFFF)
    return frames


@firmware("offset-clipped", bits=6)
def offset_clipped(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Writes the inner checksum at a wrong offset when its header is far behind the outer one.

    The NIC has `bits` bits for the distance in bytes from the outer UDP header to the inner L4
    header: that is 50 with IPv4 inside and 70 with IPv6, and 4 more with a tag inside. Higher bits
    are lost; the real field keeps its pseudo-header sum.
    """
    tunnel = tunnel_of(descriptor, frames)
    if not tunnel or not tunnel.inner or not tunnel.inner.asked:
        return frames
    inner = tunnel.inner
    distance = inner.l4 - tunnel.outer.l4
    clipped = distance & ((1 << int(state.knobs["bits"])) - 1)
    if clipped == distance:
        return frames
    for frame in frames:
        value = inner.read(frame)
        inner.write(frame, inner.read(descriptor.frame))
        U16.pack_into(frame, inner.field - distance + clipped, value)
        # The value may have overwritten the outer checksum, which a NIC computes last.
        tunnel.settle(frame)
    return frames


@firmware("zero-not-ffff", layer=("both", "inner", "outer"))
def zero_not_ffff(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Sends a UDP checksum that is computed as 0 as 0, which means none, and not as 0xffff."""

    def zero(frame: bytearray, layer: Layer) -> int:
        value = layer.read(frame)
        return 0 if layer.protocol == UDP and value == 0xFFFF else value

    return write_wrong(frames, tunnel_of(descriptor, frames), state, zero)


@firmware("odd-byte", layer=_INNER_FIRST, byte=("ignored", "swapped"))
def odd_byte(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Ignores the last byte of an odd length, or adds it in the wrong half of its word."""

    def sum_oddly(frame: bytearray, layer: Layer) -> int:
        end = layer.end(frame)
        if not (end - layer.l4) & 1:
            return layer.read(frame)
        last = b"" if state.knobs["byte"] == "ignored" else bytes((0, frame[end - 1]))
        return layer.summed(frame, end=end - 1, more=last)

    return write_wrong(frames, tunnel_of(descriptor, frames), state, sum_oddly)


@firmware("pad-summed", below=65, byte=0xA5)
def pad_summed(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Adds the padding to the inner sum that fills a short inner frame up to `below` bytes.

    The padding itself, stale bytes of the value `byte`, is not sent. If the frame has a trailer,
    that is added to the sum too, whatever its size.
    """
    tunnel = tunnel_of(descriptor, frames)
    if not tunnel or not tunnel.inner or not tunnel.inner.asked:
        return frames
    inner = tunnel.inner
    for frame in frames:
        missing = max(0, int(state.knobs["below"]) - (len(frame) - tunnel.ethernet))
        if missing or inner.end(frame) < len(frame):
            padding = bytes((int(state.knobs["byte"]) & 0xFF,)) * missing
            inner.write(frame, inner.summed(frame, end=len(frame), more=padding))
            tunnel.settle(frame)
    return frames


@firmware("vlan-shift", tag=("any", "outer", "inner"))
def vlan_shift(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Starts the inner sum 4 bytes early where there is a VLAN tag outside or inside."""
    tunnel = tunnel_of(descriptor, frames)
    if not tunnel or not tunnel.inner or not tunnel.inner.asked:
        return frames
    inner = tunnel.inner
    tagged = {"outer": tunnel.outer.l3 > 14, "inner": inner.l3 > tunnel.ethernet + 14}
    if not tagged.get(str(state.knobs["tag"]), any(tagged.values())):
        return frames
    for frame in frames:
        inner.write(frame, inner.summed(frame, start=inner.l4 - 4))
        tunnel.settle(frame)
    return frames
