"""The dimensions by which the frames of a burst are counted, and their values."""

from __future__ import annotations

SOURCE_PORT = "outer source port"
PARITY = "length"
SIZE = "size"
PSH = "TCP PSH"
PREVIOUS = "previous frame"
"""The dimensions. A flow has one outer source port, and thus one transmit queue. The length whose
parity counts is that of the innermost L4, which is what a checksum covers. The last segment of bulk
TCP has PSH, that of UDP_SEGMENT is shorter than the others. Whether the previous frame of the flow
was bad distinguishes faults of single frames from faults of whole super-packets."""

SHORT, BARELY, MIDDLE, FULL = "under 60", "60 to 64", "65 and up", "full"
"""The values of `SIZE`, the size of the innermost Ethernet frame in bytes; a "full" frame fills the
link's MTU."""

OTHERS = "others"
"""The value under which frames are counted once a dimension has too many values."""
