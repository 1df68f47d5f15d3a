"""Transmit faults in segmentation, and frames that are dropped or damaged as a whole."""

from __future__ import annotations

from qualification.lab.softnic.tx_descriptor import GSO_NONE, TxDescriptor
from qualification.wire.checksum import checksum, ones_sum

from .checksum_faults import write_wrong
from .parts import U16, UDP, UDP_LENGTH, Layer, tunnel_of
from .registry import FirmwareState, firmware

_INNER_FIRST = ("inner", "outer", "both")
_DONT_FRAGMENT = 0x40


@firmware("super-length", touches="segmented", layer=_INNER_FIRST, where=("sum", "header"))
def super_length(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Uses the super-packet's length in every segment: in the sum, or in the UDP header too."""
    tunnel = tunnel_of(descriptor, frames)
    if not tunnel or descriptor.gso == GSO_NONE:
        return frames

    def too_long(frame: bytearray, layer: Layer) -> int:
        length = len(descriptor.frame) - layer.l4
        if state.knobs["where"] == "header" and layer.protocol == UDP:
            U16.pack_into(frame, layer.l4 + UDP_LENGTH, length)
        return layer.summed(frame, length=length)

    return write_wrong(frames, tunnel, state, too_long)


@firmware("last-exact", touches="segmented")
def last_exact(
    descriptor: TxDescriptor, frames: list[bytearray], _state: FirmwareState
) -> list[bytearray]:
    """Treats the last segment as empty when the payload is an exact multiple of the MSS.

    The inner sum, and the length in an inner UDP header, are those of a segment without payload.
    """
    tunnel = tunnel_of(descriptor, frames)
    if not tunnel or not tunnel.inner or descriptor.gso == GSO_NONE:
        return frames
    inner, last = tunnel.inner, frames[-1]
    headers = 8 if inner.protocol == UDP else (last[inner.l4 + 12] >> 4) * 4
    if len(last) - inner.l4 - headers != descriptor.gso_size:
        return frames
    if inner.protocol == UDP:
        U16.pack_into(last, inner.l4 + UDP_LENGTH, headers)
    inner.write(last, inner.summed(last, length=headers))
    tunnel.settle(last)
    return frames


@firmware("small-mss", touches="segmented", below=64, single=True)
def small_mss(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Drops super-packets in a tunnel with an MSS under `below`, or of a `single` segment."""
    if not descriptor.tunnel:
        return frames
    too_small = descriptor.gso_size < int(state.knobs["below"])
    return [] if too_small or (state.knobs["single"] and len(frames) == 1) else frames


@firmware(
    "ip-header", touches="segmented", layer=("outer", "inner", "both"), field=("checksum", "id")
)
def ip_header(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Gives every segment the first one's IPv4 header checksum, or its id although DF is 0."""
    tunnel = tunnel_of(descriptor, frames)
    if not tunnel or descriptor.gso == GSO_NONE:
        return frames
    word = state.knobs["layer"]
    layers = [tunnel.inner] if word in ("inner", "both") else []
    layers += [tunnel.outer] if word in ("outer", "both") else []
    for layer in layers:
        if layer is None or layer.family != 4:
            continue
        if state.knobs["field"] == "id":
            if not frames[0][layer.l3 + 6] & _DONT_FRAGMENT:
                keep_id(frames, layer)
            continue
        for frame in frames[1:]:
            frame[layer.l3 + 10 : layer.l3 + 12] = frames[0][layer.l3 + 10 : layer.l3 + 12]
            if layer is tunnel.inner:
                tunnel.settle(frame)
    return frames


def keep_id(frames: list[bytearray], layer: Layer) -> None:
    """Gives all segments the IPv4 id of the first, with a correct header checksum.

    No other checksum changes with it, because an IPv4 header with its checksum sums up to zero.
    """
    l3 = layer.l3
    for frame in frames[1:]:
        frame[l3 + 4 : l3 + 6] = frames[0][l3 + 4 : l3 + 6]
        U16.pack_into(frame, l3 + 10, 0)
        header = frame[l3 : l3 + (frame[l3] & 0x0F) * 4]
        U16.pack_into(frame, l3 + 10, checksum(ones_sum(header)))


@firmware("silent-drop", of=("tunnel", "segmented"), p=1.0)
def silent_drop(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Drops tunnel frames, all with work for the NIC or only the `segmented`; a counter rises."""
    if not descriptor.needs_csum or not tunnel_of(descriptor, frames):
        return frames
    if state.knobs["of"] == "segmented" and descriptor.gso == GSO_NONE:
        return frames
    return [] if state.chance("p") else frames


@firmware("vlan-lost-short", below=65)
def vlan_lost_short(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Loses the outer VLAN tag where the frame inside the tunnel is shorter than `below` bytes."""
    tunnel = tunnel_of(descriptor, frames)
    if not tunnel or not descriptor.needs_csum or tunnel.outer.l3 == 14:
        return frames
    for frame in frames:
        if len(frame) - tunnel.ethernet < int(state.knobs["below"]):
            del frame[12:16]
    return frames


@firmware("duplicated", p=0.02)
def duplicated(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Sends a share `p` of the frames that it finishes twice, as after a transmit timeout."""
    if not descriptor.needs_csum:
        return frames
    return [
        copy
        for frame in frames
        for copy in ((frame, bytearray(frame)) if state.chance("p") else (frame,))
    ]


@firmware("outer-dscp", dscp=10)
def outer_dscp(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Changes the outer DSCP of what it finishes; every checksum is right."""
    tunnel = tunnel_of(descriptor, frames) if descriptor.needs_csum else None
    for frame in frames if tunnel else ():
        assert tunnel
        at, dscp = tunnel.outer.l3, int(state.knobs["dscp"]) & 0x3F
        if tunnel.outer.family == 4:
            frame[at + 1] = dscp << 2 | frame[at + 1] & 3
            frame[at + 10 : at + 12] = bytes(2)
            U16.pack_into(frame, at + 10, checksum(ones_sum(frame[at : at + 20])))
        else:
            (word,) = U16.unpack_from(frame, at)
            U16.pack_into(frame, at, word & 0xF03F | dscp << 6)
    return frames


@firmware("outer-port", shift=1)
def outer_port(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Changes the outer source port of what it finishes; every checksum is right."""
    tunnel = tunnel_of(descriptor, frames) if descriptor.needs_csum else None
    for frame in frames if tunnel else ():
        assert tunnel
        at, field = tunnel.outer.l4, tunnel.outer.read(frame)
        (port,) = U16.unpack_from(frame, at)
        U16.pack_into(frame, at, (port + int(state.knobs["shift"])) & 0xFFFF)
        if field:
            tunnel.outer.write(frame, tunnel.outer.summed(frame) or 0xFFFF)
    return frames
