"""What hardware may have done to a checksum, and the value that it would have left in the field.

A hypothesis gives, for one bad field, the values that it allows: one, or a few where something is
not known. A shared hypothesis has an unknown that must have the same value in all frames. Values
are residues modulo 65535, so that 0x0000 and 0xffff are one, unless a hypothesis is about that.

The order is that of preference: where two explain as many frames, the first is named. Some cannot
be told apart, because the bytes are the same: `odd-byte` where every length is odd, and a range one
byte short; a range 2, 4 or 8 bytes early, where addresses are full of zeros; a sum of nothing, and
the complement of the pseudo-header sum, where there is no payload. A checksum that is written at a
clipped offset in the payload is named `seed-left`, which is true as well.

Sources: RFC 768, 1071, 1624 and 8200; net/ipv4/tcp_offload.c and udp_offload.c for the
pseudo-header sums.
"""

from .base import Hypothesis, Shared, carried
from .clipped import CLIPPED, CLIPPED_OVER, clipped
from .headers import HEADERS, LENGTHS
from .sums import SUMS
from .unknown import CONSTANT, CONSTANT_DIFFERENCE, SHARED_SUMS

__all__ = [
    "CLIPPED", "CLIPPED_OVER", "CONSTANT", "CONSTANT_DIFFERENCE", "HEADERS", "LENGTHS",
    "SHARED_SUMS", "SUMS", "Hypothesis", "Shared", "carried", "clipped",
]  # fmt: skip
