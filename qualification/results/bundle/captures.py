"""The captures of a cell: its wrong frames, right ones beside them, and what was submitted."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from qualification.messages.bursts import BadFrame
from qualification.messages.submitted import SubmittedPacket
from qualification.results.pcapng import Commented, commented

from .files import capture_name
from .frames import masked_frame, masked_right, masked_submitted
from .masking import Mask


@dataclass(frozen=True)
class CellCaptures:
    """The captures of a cell; a name is empty where there is no such capture.

    Attributes:
        wrong: The name of that with the wrong frames.
        frames: How many there are.
        findings: What is wrong with each.
        right: The name of that with right frames of the same flow and length.
        counterparts: How many there are.
        submitted: The name of that with what was submitted to the driver.
        buffers: How many there are.
    """

    wrong: str
    frames: int
    findings: tuple[tuple[str, ...], ...]
    right: str
    counterparts: int
    submitted: str
    buffers: int


def captures(
    cell: str, samples: Sequence[BadFrame], port: int, mask: Mask
) -> tuple[CellCaptures, dict[str, bytes]]:
    """Returns the captures of a cell, masked, and their files by name.

    Args:
        cell: The id of the cell, masked.
        samples: Its wrong frames as they were kept.
        port: UDP port of the tunnel; 0 for plain traffic.
        mask: The mask.
    """
    wrong, right, submitted = map(capture_name, (cell, f"{cell}.right", f"{cell}.submitted"))
    kept = [masked_frame(frame, port, mask) for frame in samples]
    frames = [
        Commented(data, frame.findings, len(data))
        for frame in kept
        for data in [base64.b64decode(frame.data)]
    ]
    counterparts: dict[str, list[str]] = {}
    buffers: dict[SubmittedPacket, list[str]] = {}
    for number, sample in enumerate(samples, 1):
        if sample.counterpart:
            counterparts.setdefault(sample.counterpart, []).append(str(number))
        if sample.submitted is not None:
            buffers.setdefault(sample.submitted, []).append(str(number))
    good = [
        Commented(
            data, (f"right, in the flow and of the length of {_of(numbers, wrong)}",), len(data)
        )
        for counterpart, numbers in counterparts.items()
        for data in [masked_right(counterpart, port, mask)]
    ]
    handed = [
        Commented(
            masked_submitted(one, port, mask),
            (*_said(one), f"made {_of(numbers, wrong)}"),
            one.length,
        )
        for one, numbers in buffers.items()
    ]
    files = {wrong: frames, right: good, submitted: handed}
    said = CellCaptures(
        wrong if frames else "",
        len(frames),
        tuple(frame.findings for frame in kept),
        right if good else "",
        len(good),
        submitted if handed else "",
        len(handed),
    )
    return said, {name: commented(some) for name, some in files.items() if some}


def _of(numbers: Sequence[str], name: str) -> str:
    return f"frame {', '.join(numbers)} of {name}"


def _said(packet: SubmittedPacket) -> tuple[str, ...]:
    """Returns what was left to the NIC."""
    if not packet.csum_partial:
        return ("as submitted to the driver: with a checksum that the kernel has finished",)
    return (
        "as submitted to the driver: the innermost checksum field holds the pseudo-header sum, and "
        "the NIC is to finish it",
    )
