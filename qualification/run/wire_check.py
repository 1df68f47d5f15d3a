"""Records the wire of a lab's NIC while a burst is sent, and judges the recording."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from qualification.judge.evidence import Burst
from qualification.lab.qemu.recording import WireTap
from qualification.messages.bursts import CaptureOrder
from qualification.wire.capture_file import read_frames
from qualification.wire.recording import tally


def recorder(netdev: str, control: str) -> Callable[[CaptureOrder, Callable[[], Burst]], Burst]:
    """Returns a function that has a burst sent and adds what the wire carried meanwhile.

    Args:
        netdev: QEMU's id of its back end.
        control: The control socket of its QEMU.
    """
    tap = WireTap(netdev, control)

    def record(order: CaptureOrder, send: Callable[[], Burst]) -> Burst:
        with tempfile.TemporaryDirectory(prefix="vxqual-wire-") as folder:
            file = Path(folder, "wire.pcap")
            with tap.recording(file):
                burst = send()
            return replace(burst, wire=tally(read_frames(file), order))

    return record
