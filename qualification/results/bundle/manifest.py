"""The manifest of a bundle: what it is about, for programs, with the SHA-256 of each file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter

from qualification.results.gate.certificate import HashedFile

NAME = "bundle.json"
SCHEMA: Literal[1] = 1


@dataclass(frozen=True)
class ToldCell:
    """A cell that the bundle is about; the values are those of its `CellRow`, masked."""

    id: str
    verdict: str
    reason: str
    signature: str | None
    culprit: tuple[str, ...]


@dataclass(frozen=True)
class Manifest:
    """What a bundle is about.

    Attributes:
        schema: Number of this schema, `SCHEMA`.
        version: Of the vxqual that made it.
        run: The id of the run.
        started: When the run began (ISO 8601, with zone).
        pair: The pair of the NIC.
        driver: Of the NIC, as `firmware`, `kernel` and `pci_id`.
        masked: Whether secrets are masked.
        cells: The cells, the most telling one first.
        commands: What heals them.
        files: The other files of the bundle.
    """

    schema: Literal[1]
    version: str
    run: str
    started: str
    pair: str
    driver: str
    firmware: str
    kernel: str
    pci_id: str | None
    masked: bool
    cells: tuple[ToldCell, ...]
    commands: tuple[str, ...]
    files: tuple[HashedFile, ...]


ADAPTER = TypeAdapter(Manifest)


def manifest(bundle: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """Returns the content of the manifest.

    Args:
        bundle: The bundle as JSON types, masked; see `content.Made`.
        files: Its other files by name.
    """
    run, dut = bundle["run"], bundle["dut"]
    made = Manifest(
        schema=SCHEMA,
        version=bundle["version"],
        run=run["id"],
        started=run["started"],
        pair=dut["pair"],
        driver=dut["driver"],
        firmware=dut["firmware"],
        kernel=dut["kernel"],
        pci_id=dut["pci_id"],
        masked=bundle["masked"],
        cells=tuple(map(_cell, (annex["row"] for annex in bundle["annexes"]))),
        commands=tuple(dict.fromkeys(one["command"] for one in bundle["remedies"])),
        files=tuple(
            HashedFile(name, len(octets), hashlib.sha256(octets).hexdigest())
            for name, octets in files.items()
        ),
    )
    dumped = ADAPTER.dump_python(made, mode="json")
    return (json.dumps(dumped, indent=1, ensure_ascii=False) + "\n").encode()


def _cell(row: Mapping[str, Any]) -> ToldCell:
    culprit = tuple(row["culprit"] or ())
    return ToldCell(row["id"], row["verdict"], row["reason"], row["signature"], culprit)
