"""Allots to each burst of a pair what tells its frames from those of other bursts. Pure."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b

from qualification.errors import LabError
from qualification.wire.crafted.catalogue import BURST_TTLS

FIRST_PORT, LAST_PORT = 20_000, 60_000


class Allotment:
    """Destination ports, seeds and TTL marks of a pair's bursts.

    Args:
        seed: The run's seed.

    Attributes:
        seed: The run's seed, from which the seeds of later bursts are derived.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._bursts = 0
        self._marked = Counter[int]()

    @property
    def earlier_ports(self) -> tuple[int, int]:
        """The range of ports of all bursts before the last one; its second number is not in it."""
        return FIRST_PORT, FIRST_PORT + self._bursts - 1

    def port_and_seed(self) -> tuple[int, int]:
        """Returns the port and the seed of the next burst.

        No port is used twice, so that a late frame cannot be taken for one of a later burst.

        Raises:
            LabError: Every port has been used.
        """
        port = FIRST_PORT + self._bursts
        if port > LAST_PORT:
            raise LabError(
                f"no UDP or TCP port is left after {LAST_PORT - FIRST_PORT + 1:,} bursts on one "
                "pair in one run",
                hint="split the run: select fewer flows or fewer offload sets",
            )
        self._bursts += 1
        return port, self.derived_seed(str(self._bursts))

    def mark(self, port: int) -> int:
        """Returns the TTL of the next burst to a port that several bursts share.

        A TTL is used again only after all others have been, when no frame of the first burst can
        be left: each burst ends when all of it has arrived or the wire is quiet.
        """
        self._marked[port] += 1
        return BURST_TTLS[(self._marked[port] - 1) % len(BURST_TTLS)]

    def derived_seed(self, label: str) -> int:
        """Returns a 32-bit seed that the run's seed and a label determine."""
        digest = blake2b(f"{self.seed}/{label}".encode(), digest_size=4).digest()
        return int.from_bytes(digest, "big")
