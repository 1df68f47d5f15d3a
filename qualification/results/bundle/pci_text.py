"""What is secret in the text of lspci: serial numbers, and what was written into a card."""

from __future__ import annotations

import re
from collections.abc import Iterable

_SERIAL = re.compile(
    r"\[SN\] [^:]*: (\S.*)|Device Serial Number ((?:[0-9a-f]{2}-){7}[0-9a-f]{2})", re.IGNORECASE
)
"""The serial numbers of Vital Product Data and of the PCIe capability, which is made of a MAC
address (PCI Local Bus Specification 3.0, appendix I; PCI Express Base Specification, 7.9.3)."""
_WRITTEN = re.compile(r"(\[[VY][0-9A-Z]\] [^:]*: ).+")
"""Vital Product Data of a vendor or a system, such as an asset tag, a service tag or a GUID."""


def serial_numbers(lines: Iterable[str]) -> set[str]:
    """Returns the serial numbers that lspci shows."""
    found = (match for line in lines for match in [_SERIAL.search(line)] if match)
    return {(match[1] or match[2]).strip() for match in found}


def without_tags(lines: Iterable[str]) -> tuple[str, ...]:
    """Returns the lines of lspci without what a vendor or a site wrote into the card."""
    return tuple(_WRITTEN.sub(r"\1(masked)", line) for line in lines)
