"""Transmit faults in the NIC's list of tunnel ports."""

from __future__ import annotations

from qualification.lab.softnic.tx_descriptor import GSO_NONE, TxDescriptor
from qualification.wire.checksum import checksum, ones_sum

from .parts import U16, UDP_LENGTH, Tunnel, tunnel_of
from .registry import FirmwareState, firmware

_TUNNEL_PORTS = (4789, 4790, 6081)  # VXLAN, VXLAN-GPE, Geneve

_LARGE = ("dropped", "cut")


@firmware("port-unknown", known=4789, large=_LARGE)
def port_unknown(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Treats VXLAN on any port but `known` as plain UDP: the inner pseudo-header sum stays.

    An outer checksum that was asked for is computed, as for any UDP. A super-packet is too large
    for the wire: it is `dropped`, or `cut` like plain UDP, into pieces of which only the first has
    the headers inside the tunnel.
    """
    tunnel = tunnel_of(descriptor, frames)
    if not tunnel or tunnel.port == state.knobs["known"]:
        return frames
    return as_plain_udp(descriptor, frames, tunnel, cut=state.knobs["large"] == "cut")


@firmware("port-stolen", touches="all", large=_LARGE)
def port_stolen(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Knows only the newest tunnel port: a second one turns the first into port-unknown.

    A port is new when the first frame to it is sent.
    """
    tunnel = tunnel_of(descriptor, frames)
    if not tunnel:
        return frames
    if tunnel.port not in state.memory.setdefault("seen", set()):  # type: ignore[operator]
        state.memory["seen"].add(tunnel.port)  # type: ignore[attr-defined]
        state.memory["last"] = tunnel.port
    if tunnel.port == state.memory["last"]:
        return frames
    return as_plain_udp(descriptor, frames, tunnel, cut=state.knobs["large"] == "cut")


@firmware("after-reset", on=("link", "toggle", "mtu", "any"), large=_LARGE)
def after_reset(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Forgets every tunnel port when the link goes down, or as `on` says: port-unknown."""
    tunnel = tunnel_of(descriptor, frames)
    happened = {"link": state.resets, "toggle": state.toggles, "mtu": state.resizes}
    if not tunnel or not happened.get(str(state.knobs["on"]), any(happened.values())):
        return frames
    return as_plain_udp(descriptor, frames, tunnel, cut=state.knobs["large"] == "cut")


@firmware("plain-4789")
def plain_4789(
    descriptor: TxDescriptor, frames: list[bytearray], _state: FirmwareState
) -> list[bytearray]:
    """Treats plain UDP to 4789, 4790 or 6081 as a tunnel: the pseudo-header sum stays."""
    asked = (
        descriptor.needs_csum
        and descriptor.csum_start == descriptor.l4
        and descriptor.csum_offset == 6
    )
    if not asked or tunnel_of(descriptor, frames):
        return frames
    field = descriptor.l4 + 6
    if U16.unpack_from(descriptor.frame, descriptor.l4 + 2)[0] in _TUNNEL_PORTS:
        for frame in frames:
            frame[field : field + 2] = descriptor.frame[field : field + 2]
    return frames


def as_plain_udp(
    descriptor: TxDescriptor, frames: list[bytearray], tunnel: Tunnel, *, cut: bool
) -> list[bytearray]:
    """Returns the frames that a NIC sends that does not recognise the tunnel.

    Args:
        descriptor: The kernel's descriptor.
        frames: The frames that a correct NIC would send for it.
        tunnel: The tunnel that this NIC does not recognise.
        cut: Whether it cuts what is too large for the wire, into frames of the size of correct
            segments. Otherwise it drops it.
    """
    if not descriptor.needs_csum:
        return frames
    outer = tunnel.outer
    wants_sum = outer.read(descriptor.frame) != 0
    if descriptor.gso == GSO_NONE:
        plain = [bytearray(descriptor.frame)]
    elif not cut:
        return []
    else:
        start, size = outer.l4 + 8, len(frames[0]) - outer.l4 - 8
        plain = []
        for index, at in enumerate(range(start, len(descriptor.frame), size)):
            piece = bytearray(descriptor.frame[:start] + descriptor.frame[at : at + size])
            _write_lengths(piece, outer.family, outer.l3, outer.l4, index)
            plain.append(piece)
    if wants_sum:
        for frame in plain:
            outer.write(frame, outer.summed(frame))
    return plain


def _write_lengths(frame: bytearray, family: int, l3: int, l4: int, index: int) -> None:
    """Writes the lengths of IP and UDP, and the IPv4 id and checksum, of one piece."""
    U16.pack_into(frame, l4 + UDP_LENGTH, len(frame) - l4)
    if family == 6:
        U16.pack_into(frame, l3 + 4, len(frame) - l3 - 40)
        return
    (first,) = U16.unpack_from(frame, l3 + 4)
    U16.pack_into(frame, l3 + 2, len(frame) - l3)
    U16.pack_into(frame, l3 + 4, (first + index) & 0xFFFF)
    U16.pack_into(frame, l3 + 10, 0)
    U16.pack_into(frame, l3 + 10, checksum(ones_sum(frame[l3:l4])))
