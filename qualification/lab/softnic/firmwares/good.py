"""Good firmwares, most of them unusual. A verdict against one of them is an error of ours."""

from __future__ import annotations

import time

from qualification.lab.softnic.tx_descriptor import (
    GSO_NONE,
    NO_ROOM,
    UNCHECKED,
    RxStatus,
    TxDescriptor,
)
from qualification.wire.dissect import dissect

from .parts import TCP, tunnel_in, tunnel_of
from .registry import FirmwareState, firmware
from .segment_faults import keep_id

_OVERSLEPT = 0.001
"""Seconds by which a sleep may be too long."""


@firmware("good", good=True, touches="nothing")
def good(_job: TxDescriptor, frames: list[bytearray], _state: FirmwareState) -> list[bytearray]:
    """Does what the kernel asks for."""
    return frames


@firmware("constant-ip-id", good=True, touches="segmented")
def constant_ip_id(
    descriptor: TxDescriptor, frames: list[bytearray], _state: FirmwareState
) -> list[bytearray]:
    """Gives all segments of a super-packet one IPv4 id where DF is set, as RFC 6864 allows."""
    tunnel = tunnel_of(descriptor, frames) if descriptor.gso != GSO_NONE else None
    for layer in (tunnel.outer, tunnel.inner) if tunnel else ():
        if layer and layer.family == 4 and frames[0][layer.l3 + 6] & 0x40:
            keep_id(frames, layer)
    return frames


@firmware("tcp-ffff", good=True)
def tcp_ffff(
    descriptor: TxDescriptor, frames: list[bytearray], _state: FirmwareState
) -> list[bytearray]:
    """Sends a TCP checksum that is computed as 0 as 0xffff; they are one number (RFC 1624)."""
    tunnel = tunnel_of(descriptor, frames)
    inner = tunnel.inner if tunnel else None
    if inner and inner.asked and inner.protocol == TCP:
        for frame in frames:
            if inner.read(frame) == 0:
                inner.write(frame, 0xFFFF)
    return frames


@firmware("pad-long", good=True, touches="all", to=128, byte=0)
def pad_long(_job: TxDescriptor, frames: list[bytearray], state: FirmwareState) -> list[bytearray]:
    """Pads Ethernet frames to more than needed, with any `byte`: it is behind all lengths."""
    filler = bytes((int(state.knobs["byte"]) & 0xFF,))
    for frame in frames:
        frame.extend(filler * max(0, int(state.knobs["to"]) - len(frame)))
    return frames


@firmware("reorder-flows", good=True, acts="path")
def reorder_flows(frames: list[bytearray], state: FirmwareState) -> list[bytearray]:
    """Reorders frames of different flows, and never those of one flow."""
    held: list[bytearray] = state.memory.pop("held", [])  # type: ignore[assignment]
    if not frames:
        return held
    flow = _flow(frames[0])
    if any(_flow(frame) != flow for frame in frames):
        return held + frames
    if not held:
        state.memory["held"] = frames
        return []
    return held + frames if _flow(held[0]) == flow else frames + held


@firmware("slow-link", good=True, acts="path", mbit=200)
def slow_link(frames: list[bytearray], state: FirmwareState) -> list[bytearray]:
    """Sends no faster than `mbit` Mbit/s."""
    now = time.monotonic()
    free = float(state.memory.get("free", now))  # type: ignore[arg-type]
    if free > now:
        time.sleep(free - now)
    seconds = sum(map(len, frames)) * 8 / (max(1, int(state.knobs["mbit"])) * 1e6)
    state.memory["free"] = max(free, now) + seconds
    return frames


@firmware("slow-nic", good=True, acts="path", rate=20_000, ring=500)
def slow_nic(frames: list[bytearray], state: FirmwareState) -> list[bytearray]:
    """Takes `rate` frames a second; of what comes faster, each queue holds `ring` buffers."""
    now = time.monotonic()
    free = float(state.memory.get("free", now))  # type: ignore[arg-type]
    if free > now:
        time.sleep(free - now)  # its TAP drops what does not fit into its ring (`ring_of`)
    # It is behind by no more than it sleeps too long: a NIC makes up for no idle time.
    begin = max(free, now - _OVERSLEPT)
    state.memory["free"] = begin + len(frames) / max(1, int(state.knobs["rate"]))
    return frames


@firmware("small-ring", good=True, acts="receive", rate=30_000, ring=64)
def small_ring(_frame: bytearray, state: FirmwareState) -> RxStatus | None:
    """Gives its host `rate` frames a second; its `ring` of frames drops what it has no room for."""
    now, rate = time.monotonic(), max(1, int(state.knobs["rate"]))
    last, held = state.memory.get("held", (now, 0.0))  # type: ignore[misc]
    held = max(0.0, held - (now - last) * rate)  # type: ignore[has-type]
    room = held + 1 <= int(state.knobs["ring"])
    state.memory["held"] = now, held + room
    return UNCHECKED if room else None


@firmware("no-room", good=True, acts="receive", p=0.01)
def no_room(_frame: bytearray, state: FirmwareState) -> RxStatus | None:
    """Has no room for a share `p` of what it receives, which its driver counts as rx_dropped."""
    return NO_ROOM if state.chance("p") else UNCHECKED


@firmware("no-offloads", good=True, touches="nothing", offers=False)
def no_offloads(
    _job: TxDescriptor, frames: list[bytearray], _state: FirmwareState
) -> list[bytearray]:
    """Offers its kernel no offload, which therefore finishes every frame."""
    return frames


@firmware("lossy", good=True, acts="path", p=0.01)
def lossy(frames: list[bytearray], state: FirmwareState) -> list[bytearray]:
    """Loses a share `p` of the frames in tunnels, at random; those that arrive are correct."""
    return [frame for frame in frames if not (state.chance("p") and tunnel_in(frame))]


def _flow(frame: bytearray) -> bytes:
    """Returns a frame's flow: addresses and ports as on the wire, or MACs if it is not IP."""
    layout = dissect(bytes(frame[:200]), len(frame), frozenset())
    if layout is None:
        return bytes(frame[:14])
    outer = layout.outer
    return outer.addresses + bytes(frame[outer.l4 : outer.l4 + 4])
