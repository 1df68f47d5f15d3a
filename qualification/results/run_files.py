"""The files of a stored run: their names, the schema of the first two, the entries of the second.

`run.json` holds what was asked; `evidence.jsonl` holds an entry a line with what each verdict rests
on. Together they are all that a judgement needs: no host, no topology file, no secret.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from qualification.judge.controls import ControlResult
from qualification.judge.culprit.cost import CostTurns
from qualification.judge.culprit.findings import CulpritFindings
from qualification.judge.evidence import Evidence
from qualification.judge.symptom import Runs
from qualification.judge.verdict import Verdict

from . import directories
from .conclusion import RunEnd

SCHEMA = 3
"""Schema number of both files, which are written together.

Since 2 the keys are the words of the glossary: `packet_set`, `submitted`, `captured` and others.
Since 3 each line of evidence begins with its number, calls are stored, and a run can be continued.
"""

RUN, EVIDENCE, MATRIX = directories.RUN, directories.EVIDENCE, directories.MATRIX


@dataclass(frozen=True)
class CellEntry:
    """What is known of one cell.

    Attributes:
        id: The cell's id.
        evidence: What was gathered for it; None if it was not run.
        verdict: The verdict of a cell without evidence.
        reason: The reason for that verdict.
        note: What else is to be said of how it ran (`CellRow.note`).
        kind: Distinguishes the kinds of entry.
    """

    id: str
    evidence: Evidence | None
    verdict: Verdict | None = None
    reason: str = ""
    note: str = ""
    kind: Literal["cell"] = "cell"


@dataclass(frozen=True)
class ControlEntry:
    """One control of a pair, with what it rests on."""

    pair: str
    result: ControlResult
    kind: Literal["control"] = "control"


@dataclass(frozen=True)
class TroubleEntry:
    """An error of the lab that belongs to no cell, such as a host that could not be restored."""

    text: str
    kind: Literal["trouble"] = "trouble"


@dataclass(frozen=True)
class ProofEntry:
    """A cell that was run to find or prove a culprit; its id ends in "#" and a purpose."""

    id: str
    evidence: Evidence
    kind: Literal["proof"] = "proof"


@dataclass(frozen=True)
class CulpritEntry:
    """What the search for culprits found on a pair."""

    findings: CulpritFindings
    kind: Literal["findings"] = "findings"


@dataclass(frozen=True)
class CostEntry:
    """What the mitigation of a pair was measured to cost."""

    turns: CostTurns
    kind: Literal["cost"] = "cost"


@dataclass(frozen=True)
class SymptomEntry:
    """The calls that were made on a pair."""

    pair: str
    runs: Runs
    kind: Literal["symptom"] = "symptom"


@dataclass(frozen=True)
class ResumedEntry:
    """A run is continued: what follows was found after it had ended, or had been killed.

    Controls occur again after it, and both must be right; a cell that occurs again counts as it did
    then.

    Attributes:
        at: When (ISO 8601, with zone).
        by: The process that continued it.
        kind: Distinguishes the kinds of entry.
    """

    at: str
    by: str = ""
    kind: Literal["resumed"] = "resumed"


@dataclass(frozen=True)
class EndEntry:
    """The last line, unless the run was continued.

    Attributes:
        entries: The number of entries before it.
        run: How the run came to its end.
        kind: Distinguishes the kinds of entry.
    """

    entries: int
    run: RunEnd = field(default_factory=RunEnd)
    kind: Literal["end"] = "end"


Entry = (
    CellEntry | ControlEntry | TroubleEntry | ProofEntry | CulpritEntry | CostEntry | SymptomEntry
)
Line = Entry | ResumedEntry | EndEntry

LINE: TypeAdapter[Line] = TypeAdapter(Annotated[Line, Field(discriminator="kind")])


def dump_entry(entry: Line) -> dict[str, Any]:
    """Returns an entry as JSON types, which a worker's test report can carry."""
    dumped: dict[str, Any] = LINE.dump_python(entry, mode="json")
    return dumped
