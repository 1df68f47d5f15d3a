"""Frames that differ from the expected ones in more than checksums: in which fields, and why.

Only crafted packet sets have expected frames (`qualification.agent.traffic.expected_frames`). The
findings that come with their bad frames are read here: the first says that a frame is not an
expected one, the others in which fields it differs from the nearest one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from qualification.messages.bursts import SEGMENT, BadFrame

_FIELD = re.compile(r"(.+?)(?: is 0x| are [0-9a-f]+, should| are not those)")
_KINDS: tuple[tuple[str, str], ...] = (
    (r"it came twice", "duplicate"),
    (r"it is an IP fragment", "fragmented"),
    (r"its IPv4 id is another", "ip-header"),
    (r"VXLAN header is", "vxlan-header"),
    (r"outer (DSCP|ECN|DF|TTL|flow label)", "outer-header"),
    (r"VLAN tags are", "vlan-lost"),
    (r"it has \d+ bytes of payload|.*length is", "segment-length"),
    (r"TCP sequence number", "segment-sequence"),
    (r"TCP flags", "segment-flags"),
    (r"IPv[46]|IP options", "ip-header"),
    (r"(TCP|UDP|Ethernet) ", "header-changed"),
    (r"\d+ bytes of the payload differ", "payload-changed"),
)
"""How a finding begins, and the name of the fault; the most telling first."""

Structural = tuple[str, str, frozenset[int]]
"""Name of the fault, text, and the frames that it explains by their index."""


def structural(frames: Sequence[BadFrame]) -> Iterable[Structural]:
    """Yields the faults that frames show, each frame by its most telling difference.

    The fault of most frames comes first.

    Args:
        frames: Bad frames of one flow.
    """
    kinds: dict[str, list[int]] = {}
    for index, frame in enumerate(frames):
        if SEGMENT in frame.layers:
            kinds.setdefault(_kind(frame.findings), []).append(index)
    for name, indices in sorted(kinds.items(), key=lambda item: -len(item[1])):
        fields = Counter(
            field for index in indices for field in dict.fromkeys(_fields(frames[index].findings))
        )
        most = ", ".join(f"{field} ({count})" for field, count in fields.most_common(4))
        text = f"frames differ from the expected ones: {most}" if most else "frames not expected"
        yield name, text, frozenset(indices)


def _kind(findings: Sequence[str]) -> str:
    for pattern, name in _KINDS:
        if any(re.match(pattern, finding) for finding in findings):
            return name
    return "unlike"


def _fields(findings: Sequence[str]) -> Iterable[str]:
    """Yields the fields that findings name, without their values."""
    for finding in findings:
        if finding.startswith("it is not one of"):
            continue
        if "checksum" in finding or " none, though " in finding:
            continue  # the signature has other findings on checksums
        field = _FIELD.match(finding)
        if field:
            yield field[1]
        elif "bytes of payload" in finding:
            yield "payload length"
        elif "bytes of the payload differ" in finding:
            yield "payload"
        else:
            yield finding
