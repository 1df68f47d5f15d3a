"""Faults of the path between the two NICs."""

from __future__ import annotations

from qualification.wire.checksum import udp_checksum

from .parts import U16, tunnel_in
from .registry import FirmwareState, firmware

_VLAN = b"\x81\x00"


@firmware("zero-updated", acts="path", shift=256)
def zero_updated(frames: list[bytearray], state: FirmwareState) -> list[bytearray]:
    """Translates the outer source port by `shift`, and updates even a checksum of 0 by the change.

    A NAT updates a checksum by the change it makes (RFC 1624). A checksum of 0 means that there is
    none, and has to stay; here it becomes the change itself. All others are updated correctly.
    """
    for frame in frames:
        tunnel = tunnel_in(frame)
        if not tunnel:
            continue
        outer = tunnel.outer
        (old,) = U16.unpack_from(frame, outer.l4)
        new = (old + int(state.knobs["shift"])) & 0xFFFF
        U16.pack_into(frame, outer.l4, new)
        outer.write(frame, udp_checksum(new - old - outer.read(frame)))
    return frames


@firmware("path-drop", acts="path", port=8472, vni=0)
def path_drop(frames: list[bytearray], state: FirmwareState) -> list[bytearray]:
    """Drops valid VXLAN to `port` (of one `vni`, if not 0); other bytes on that port pass."""
    return [frame for frame in frames if not _is_dropped(frame, state)]


@firmware("path-corrupt", acts="path", p=0.01)
def path_corrupt(frames: list[bytearray], state: FirmwareState) -> list[bytearray]:
    """Changes the last byte inside the tunnel in a share `p` of the frames, as a bad cable may."""
    for frame in frames:
        tunnel = tunnel_in(frame) if state.chance("p") else None
        if tunnel and tunnel.inner:
            frame[tunnel.inner.end(frame) - 1] ^= 0x10
    return frames


@firmware("untagged-only", acts="path", good=True)
def untagged_only(frames: list[bytearray], _state: FirmwareState) -> list[bytearray]:
    """Drops every frame with a VLAN tag, as an access port of a switch does."""
    return [frame for frame in frames if frame[12:14] != _VLAN]


@firmware("late-vlan", acts="path", good=True, frames=400)
def late_vlan(frames: list[bytearray], state: FirmwareState) -> list[bytearray]:
    """Drops the first `frames` frames with a VLAN tag, as a switch that has yet to learn the VLAN.

    A switch learns it from announcements of its neighbours (MVRP, IEEE 802.1Q-2018, 11.2).
    """
    passed = []
    for frame in frames:
        seen = int(state.memory.get("seen", 0))  # type: ignore[call-overload]
        if frame[12:14] == _VLAN and seen < int(state.knobs["frames"]):
            state.memory["seen"] = seen + 1
        else:
            passed.append(frame)
    return passed


def _is_dropped(frame: bytearray, state: FirmwareState) -> bool:
    tunnel = tunnel_in(frame)
    return (
        tunnel is not None
        and tunnel.port == state.knobs["port"]
        and state.knobs["vni"] in (0, tunnel.vni)
    )
