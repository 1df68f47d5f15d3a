"""The dimensions by which the frames of a burst are counted, and their values."""

from __future__ import annotations

SOURCE_PORT = "outer source port"
PARITY = "length"
SIZE = "size"
PSH = "TCP PSH"
PREVIOUS = "previous frame"
"""The dimensions. A flow keeps its outer source port, and with it its transmit queue. The length
whose parity counts is that of the innermost L4, which is what a checksum covers. Bulk TCP and
UDP_SEGMENT leave the last segment with PSH, or shorter than the rest. What came before a frame in
its flow tells faults that hit frames one by one from those that hit a whole super-packet."""

SHORT, BARELY, MIDDLE, FULL = "under 60", "60 to 64", "65 and up", "full"
"""Values of `SIZE`: of the innermost Ethernet frame, bytes; "full" fills the link's MTU."""

OTHERS = "others"
"""The value of what there was no room for."""
