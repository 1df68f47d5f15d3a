"""Counts the frames of a burst by outer source port and the source port inside.

A tunnel derives one from the packet inside (`udp_flow_src_port`, include/net/udp.h), and a NIC that
changes it sends the flow another way. The sender's tap and the peer's capture count alike.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qualification.messages.bursts import CaptureOrder
    from qualification.wire.dissect import Layout

_MOST = 4096


class PathCounter:
    """Counts frames by their pair of ports.

    Args:
        order: The capture; nothing is counted unless it checks outer headers.

    Attributes:
        wanted: Whether anything is counted.
    """

    def __init__(self, order: CaptureOrder) -> None:
        self.wanted = order.tunnel_ttl > 0
        self._counts: Counter[int] = Counter()

    def add(self, layout: Layout | None) -> None:
        """Counts a frame, unless there is none; native_capture.c has the same function."""
        inner = layout and layout.inner
        if not self.wanted or layout is None or inner is None or layout.vxlan is None:
            return
        if layout.outer.source_port is not None and inner.source_port is not None:
            self.count(layout.outer.source_port << 16 | inner.source_port, 1)

    def count(self, pair: int, frames: int) -> None:
        """Counts frames of a pair of ports: the outer one, shifted by 16, and the inner one."""
        self._counts[pair] += frames

    def tally(self) -> dict[str, int]:
        """Returns the frames by "outer>inner"; of very many pairs, those with the most frames."""
        return {
            f"{pair >> 16}>{pair & 0xFFFF}": frames
            for pair, frames in self._counts.most_common(_MOST)
        }
