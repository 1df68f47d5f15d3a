"""`matrix.json`: the table of results that every report is a view of.

`python -m qualification.results.matrix` prints its JSON schema.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from qualification.campaign import Campaign
from qualification.errors import UsageError
from qualification.inventory import Nic, Role
from qualification.judge.culprit.cost import Cost
from qualification.judge.pace import PaceFound
from qualification.judge.result_row import CellRow
from qualification.judge.symptom import Symptom
from qualification.judge.verdict import Demand
from qualification.messages.plausible import implausible
from qualification.messages.untrusted import UntrustedError
from qualification.plan.cells import PlanName

from . import files
from .conclusion import Completeness, Conclusion, RunOutcome, Selection
from .schema import check_schema
from .stored import files as stored_files

SCHEMA: Literal[4] = 4
"""Since 2 the keys are the words of the glossary: a flow has a `packet_set`. Since 3 the run says
its plan, selection, demand, completeness and outcome. Since 4 it says when it was continued."""


@dataclass(frozen=True)
class RunRow:
    """The run that gave the results.

    Attributes:
        id: Unique id of the run.
        started: When it started (ISO 8601, with zone).
        finished: When it ended; null where that was not stored.
        seed: Seed of every payload.
        version: Version of vxqual.
        commit: The git commit of vxqual, with "-dirty" after it if files had changed; null if it
            did not run from a checkout.
        python: Version of the controller's Python.
        kernel: Version of the controller's kernel.
        topology: The topology file, as the user named it.
        plan: The plan, on which the offload sets depend.
        selection: What narrowed the run to some cells of its plan.
        demand: What a PASS had to exclude.
        completeness: How much of its plan was carried out.
        outcome: How it ended, one of `RunOutcome`; only QUALIFIED is good.
        resumed: When it was continued after it had ended, each time; empty if it was not.
    """

    id: str
    started: str
    finished: str | None
    seed: int
    version: str
    commit: str | None
    python: str
    kernel: str
    topology: str
    plan: PlanName
    selection: Selection
    demand: Demand
    completeness: Completeness
    outcome: RunOutcome
    resumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class NicRow:
    """A NIC in its role in a pair; a value that its host does not report is null.

    Attributes:
        mtu: Its MTU in bytes during the run; the smaller one of a pair sets the frame sizes.
        verifier: The verifier that judges frames on its host, and why that one was chosen.
        hypervisor: What its host is a guest of; empty on bare metal.
        machine: Vendor and model of its host, which are virtual in a guest.
        hardware_version: Version of that machine, such as "pc-q35-10.0".
        pace: Of a DUT, the frames per second that its bursts kept, except under load: the controls
            found that the path carries them. Null where they were not run.
        pace_reason: How the pace was found, where the path lost frames at a faster one, or at any.
        pci_id: Vendor and device, such as "8086:1572".
        serial: Serial number of the device, or of its board.
        pci_subsystem: Vendor and device of the board that the chip is on, such as "8086:0007".
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
    hypervisor: str = ""
    machine: str = ""
    hardware_version: str = ""
    pace: int | None = None
    pace_reason: str = ""
    pci_id: str | None = None
    serial: str | None = None
    pci_subsystem: str | None = None


@dataclass(frozen=True)
class Matrix:
    """A run's results.

    Attributes:
        schema: Number of this schema, `SCHEMA`.
        run: The run.
        nics: DUT and peer of each pair.
        cells: A row for each cell.
        conclusion: The outcome of the run, and what it rests on.
        symptoms: What an application would notice, for each pair on which calls were made.
        mitigation: For each failing pair that features can heal, the kernel names of the features
            to turn off on the DUT so that its flows are clean and most features stay on.
        costs: What these mitigations cost, where it was measured.
    """

    schema: Literal[4]
    run: RunRow
    nics: tuple[NicRow, ...]
    cells: tuple[CellRow, ...]
    symptoms: tuple[Symptom, ...] = ()
    mitigation: dict[str, list[str]] = field(default_factory=dict)
    costs: tuple[Cost, ...] = ()


_ADAPTER = TypeAdapter(Matrix)


def nic_row(pair: str, role: Role, nic: Nic, pace: PaceFound | None = None) -> NicRow:
    """Returns what is told of a NIC.

    Args:
        pair: Its pair.
        role: Its part in the pair.
        nic: The NIC.
        pace: The pace that the controls found; told of a DUT.
    """
    pace = pace if role == "dut" else None
    return NicRow(
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
        nic.host.hypervisor,
        nic.host.machine,
        nic.host.hardware_version,
        pace.pace if pace else None,
        pace.reason if pace else "",
        nic.facts.pci_id,
        nic.serial,
        nic.facts.pci_subsystem,
    )


def build(
    campaign: Campaign,
    cells: Iterable[CellRow],
    conclusion: Conclusion,
    symptoms: Iterable[Symptom] = (),
    mitigation: Mapping[str, list[str]] = MappingProxyType({}),
    paces: Mapping[str, PaceFound] = MappingProxyType({}),
    resumed: Sequence[str] = (),
    costs: Iterable[Cost] = (),
) -> Matrix:
    """Returns the results of a run as a matrix.

    Args:
        campaign: The run.
        cells: A row for each cell.
        conclusion: The outcome of the run, and what it rests on.
        symptoms: What an application would notice.
        mitigation: The features to turn off, by pair.
        paces: The pace that the controls found, by pair.
        resumed: When it was continued.
        costs: What the mitigations cost.
    """
    roles: tuple[Role, Role] = ("dut", "peer")
    nics = [
        nic_row(pair, role, campaign.ends(pair).nic(role), paces.get(pair))
        for pair in campaign.pairs
        for role in roles
    ]
    run = RunRow(
        campaign.run_id,
        campaign.started,
        conclusion.end.finished,
        campaign.seed,
        campaign.version,
        campaign.controller.commit,
        campaign.controller.python,
        campaign.controller.kernel,
        campaign.source,
        campaign.plan,
        conclusion.selection,
        campaign.demand,
        conclusion.completeness,
        conclusion.outcome,
        tuple(resumed),
    )
    rows, calls = tuple(cells), tuple(symptoms)
    return Matrix(SCHEMA, run, tuple(nics), rows, calls, dict(mitigation), tuple(costs))


def write(matrix: Matrix, path: Path) -> None:
    """Writes the file completely or not at all."""
    files.replace(path, dump(matrix))


def dump(matrix: Matrix) -> bytes:
    """Returns the content of the file."""
    return _ADAPTER.dump_json(matrix, indent=1) + b"\n"


def read(path: Path) -> Matrix:
    """Reads a file that `write` made.

    Raises:
        UsageError: It is not such a file, or it has another schema.
    """
    return parse(stored_files.content(path), str(path))


def parse(content: bytes, where: str) -> Matrix:
    """Returns the results that `dump` made the content of a file of.

    Args:
        content: The content.
        where: The file, for errors.

    Raises:
        UsageError: It is not such a content, or it has another schema.
    """
    try:
        found = stored_files.valid(_ADAPTER, content)
        what = _nonsense(found)
        if what is None:
            return found
    except ValidationError as error:
        _check_schema(content, where)
        what = stored_files.first(error)
    except UntrustedError as error:
        what = f"it has {error}"
    raise UsageError(f"is not the matrix of a run: {what}", where=where)


def _nonsense(matrix: Matrix) -> str | None:
    """Returns what in a matrix cannot be, though each of its values can; None if all can."""
    ends = {(nic.pair, nic.role) for nic in matrix.nics}
    pairs = [cell.pair for cell in matrix.cells] + [found.pair for found in matrix.symptoms]
    for pair in (*pairs, *(nic.pair for nic in matrix.nics)):
        if not {(pair, "dut"), (pair, "peer")} <= ends:
            return f"nics: the two ends of pair {pair} are not there"
    return implausible(matrix)


def _check_schema(content: bytes, where: str) -> None:
    try:
        document = stored_files.plain(content)
    except UntrustedError:
        return
    if not isinstance(document, dict) or not isinstance(document.get("schema"), int):
        return
    run = document.get("run")
    check_schema(
        document["schema"], SCHEMA, where, run.get("version") if isinstance(run, dict) else None
    )


def schema() -> dict[str, Any]:
    """Returns the JSON schema of `matrix.json`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_ADAPTER.json_schema(mode="serialization"),
        "title": "vxqual matrix",
    }


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))
