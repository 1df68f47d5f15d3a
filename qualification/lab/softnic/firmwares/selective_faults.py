"""Transmit faults that commit another fault on a part of the traffic."""

from __future__ import annotations

from qualification.lab.softnic.tx_descriptor import TxDescriptor

from .parts import tunnel_of
from .registry import FirmwareState, commit, firmware


@firmware("v6-only", fault="seed-left", layer=("inner", "outer", "either"))
def v6_only(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Commits another `fault`, with its default knobs, only where the given layer is IPv6."""
    tunnel = tunnel_of(descriptor, frames)
    if not tunnel:
        return frames
    is_v6 = {
        "inner": tunnel.inner is not None and tunnel.inner.family == 6,
        "outer": tunnel.outer.family == 6,
    }
    if not is_v6.get(str(state.knobs["layer"]), any(is_v6.values())):
        return frames
    return commit(str(state.knobs["fault"]), descriptor, frames, state)


@firmware("queue-k", fault="seed-left", queue=1)
def queue_k(
    descriptor: TxDescriptor, frames: list[bytearray], state: FirmwareState
) -> list[bytearray]:
    """Commits another `fault`, with its default knobs, only on one transmit queue (from 0)."""
    if descriptor.queue != state.knobs["queue"]:
        return frames
    return commit(str(state.knobs["fault"]), descriptor, frames, state)
