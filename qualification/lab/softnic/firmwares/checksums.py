"""Transmit faults in how a checksum is made.

All of them spare traffic that is in no tunnel, and checksums that the kernel made itself.
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
    """Replace the checksums that the NIC makes, in the layers that its knob `layer` means.

    Args:
        frames: Honest ones; changed in place.
        tunnel: Where things are in them; None changes nothing.
        state: Its knob `p`, if there is one, is the share of frames that are hit.
        wrong: Gives the value for a frame and a layer.
    """
    layers = tunnel.chosen(state.knobs["layer"]) if tunnel else []
    if not tunnel or not layers:
        return frames
    for frame in frames:
        if "p" in state.knobs and not state.chance("p"):
            continue
        for layer in layers:
            honest = layer.read(frame)
            value = wrong(frame, layer)
            if value != honest:
                layer.write(frame, value)
                if layer is tunnel.inner:
                    tunnel.settle(frame)
    return frames


@firmware("random-p", touches="segmented", p=0.03)
def random_p(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Garble the outer checksum of tunnel segments, on a share `p` of them at random.

    Hits what `tx-udp_tnl-csum-segmentation` hands to the NIC and nothing else, as the X710 of
    the incident did.
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
    """Leave the seed in the field: no sum over the payload."""

    def seed(_frame: bytearray, layer: Layer) -> int:
        return layer.read(descriptor.frame)

    return write_wrong(frames, tunnel_of(descriptor, frames), state, seed)


@firmware("unasked-outer", right=True)
def unasked_outer(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Fill the outer checksum, `right` or with noise, where the stack asked for 0."""
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
    """Write 0xffff or noise as the outer checksum; the inner one is right."""
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
    """Write the inner checksum at the wrong byte when its header is far behind the outer one.

    The NIC has `bits` bits for the distance in bytes from the outer UDP header to the inner L4
    header: that is 50 with IPv4 inside and 70 with IPv6, a tag inside adds 4. What does not fit
    is cut off; the real field keeps its seed.
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
        # By then the outer one may be what was written over, and is made after it.
        tunnel.settle(frame)
    return frames


@firmware("zero-not-ffff", layer=("both", "inner", "outer"))
def zero_not_ffff(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Send a UDP checksum that is computed as 0 as 0, which means none, and not as 0xffff."""

    def zero(frame: bytearray, layer: Layer) -> int:
        value = layer.read(frame)
        return 0 if layer.protocol == UDP and value == 0xFFFF else value

    return write_wrong(frames, tunnel_of(descriptor, frames), state, zero)


@firmware("odd-byte", layer=_INNER_FIRST, byte=("ignored", "swapped"))
def odd_byte(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Ignore the last byte of an odd length, or add it in the wrong half of its word."""

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
    """Add to the inner sum what fills a short frame inside up to `below` bytes.

    The filling itself, stale bytes of the value `byte`, is not sent. A trailer that the frame
    has is added too, whatever its size.
    """
    tunnel = tunnel_of(descriptor, frames)
    if not tunnel or not tunnel.inner or not tunnel.inner.asked:
        return frames
    inner = tunnel.inner
    for frame in frames:
        missing = max(0, int(state.knobs["below"]) - (len(frame) - tunnel.ethernet))
        if missing or inner.end(frame) < len(frame):
            filling = bytes((int(state.knobs["byte"]) & 0xFF,)) * missing
            inner.write(frame, inner.summed(frame, end=len(frame), more=filling))
            tunnel.settle(frame)
    return frames


@firmware("vlan-shift", tag=("any", "outer", "inner"))
def vlan_shift(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Start the inner sum 4 bytes early where there is a VLAN tag outside or inside."""
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
