"""What is said of the lease on a NIC: who has it, or asks for it, and how it is taken.

As in `bursts`, these are frozen dataclasses of JSON types for Python 3.9.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Lessee:
    """Who holds the leases of a run, or asks for them.

    Attributes:
        who: User and machine of the controller, "root@lab-ctl".
        run: The id of the run.
    """

    who: str
    run: str


@dataclass(frozen=True)
class Lease:
    """The lease on a NIC, as its file on the host has it.

    Attributes:
        lessee: Who holds it.
        since: When it was taken, by the host's clock (ISO 8601, UTC).
        client: The address that the controller's SSH session comes from; empty if unknown.
    """

    lessee: Lessee
    since: str
    client: str = ""

    def __str__(self) -> str:
        client = f", from {self.client}" if self.client else ""
        return f"{self.lessee.who} since {self.since}{client}, for run {self.lessee.run}"
