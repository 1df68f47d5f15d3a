"""The answer of an order to send as fast as it goes, by which throughput is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Throughput:
    """Bulk TCP through a tunnel, for some time.

    Attributes:
        octets: Bytes of payload that the receiver has acknowledged.
        seconds: In how much time.
        cpu_seconds: What all CPUs of the sending host spent meanwhile, on whatever they did.
    """

    octets: int
    seconds: float
    cpu_seconds: float
