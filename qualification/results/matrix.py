"""`matrix.json`: the one table that every report is a view of.

`python -m qualification.results.matrix` prints its JSON schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from qualification.campaign import Campaign
from qualification.errors import UsageError
from qualification.inventory import Role
from qualification.judge.result_row import CellRow
from qualification.judge.symptom import Symptom


@dataclass(frozen=True)
class RunRow:
    """The run: its id, when it started (ISO 8601), seed, vxqual's version, the topology's file.

    And the confidence of its claims, such as 0.999.
    """

    id: str
    started: str
    seed: int
    version: str
    topology: str
    confidence: float = 0.999


@dataclass(frozen=True)
class NicRow:
    """A NIC in its role in a pair; null where the host does not say.

    Its MTU, in bytes, is that of the run: the smaller one of a pair sets the sizes of its frames.

    Attributes:
        verifier: Which verifier judges frames on its host, and why that one.
    """

    pair: str
    role: Role
    host: str
    interface: str
    driver: str
    driver_version: str | None
    firmware: str
    bus: str | None
    kernel: str
    mtu: int = 1500
    verifier: str = ""


@dataclass(frozen=True)
class Matrix:
    """A run's results.

    Attributes:
        schema: Version of this form.
        run: The run.
        nics: DUT and peer of each pair.
        cells: A row for each cell.
        symptoms: For each pair whose calls were made, what an application would feel.
        mitigation: For each failing pair that features heal, the kernel names of those to turn
            off on the DUT so that its flows are clean with most left on.
    """

    schema: Literal[1]
    run: RunRow
    nics: tuple[NicRow, ...]
    cells: tuple[CellRow, ...]
    symptoms: tuple[Symptom, ...] = ()
    mitigation: dict[str, list[str]] = field(default_factory=dict)


_ADAPTER = TypeAdapter(Matrix)


def build(
    campaign: Campaign,
    cells: Iterable[CellRow],
    symptoms: Iterable[Symptom] = (),
    mitigation: Mapping[str, list[str]] = MappingProxyType({}),
) -> Matrix:
    """The results of a run."""
    nics = []
    roles: tuple[Role, Role] = ("dut", "peer")
    for pair in campaign.pairs:
        for role in roles:
            nic = campaign.ends(pair).nic(role)
            nics.append(
                NicRow(
                    pair,
                    role,
                    nic.name.split(".", maxsplit=1)[0],
                    nic.facts.interface,
                    nic.driver,
                    nic.facts.driver_version,
                    nic.firmware,
                    nic.facts.bus,
                    nic.host.kernel,
                    nic.facts.mtu,
                    nic.host.verifier,
                )
            )
    run = RunRow(
        campaign.run_id,
        campaign.started,
        campaign.seed,
        campaign.version,
        campaign.source,
        campaign.demand.confidence,
    )
    return Matrix(1, run, tuple(nics), tuple(cells), tuple(symptoms), dict(mitigation))


def write(matrix: Matrix, path: Path) -> None:
    """Writes the file whole or not at all."""
    part = path.with_suffix(".part")
    part.write_bytes(_ADAPTER.dump_json(matrix, indent=1) + b"\n")
    part.replace(path)


def read(path: Path) -> Matrix:
    """Reads a file that `write` made.

    Raises:
        UsageError: It is not one.
    """
    try:
        return _ADAPTER.validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path)) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        what = f"{place}: {first['msg']}" if place else first["msg"]
        raise UsageError(f"is no matrix of a run: {what}", where=str(path)) from None


def schema() -> dict[str, Any]:
    """The JSON schema of `matrix.json`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_ADAPTER.json_schema(mode="serialization"),
        "title": "vxqual matrix",
    }


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))
