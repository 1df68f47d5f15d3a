"""Takes the entries of a stored run in their order, and refuses those that no run has written."""

from __future__ import annotations

from pathlib import Path

from qualification.errors import UsageError
from qualification.judge.controls import ControlResult
from qualification.judge.culprit.cost import CostTurns
from qualification.judge.culprit.findings import CulpritFindings
from qualification.judge.evidence import Evidence
from qualification.judge.symptom import Runs
from qualification.judge.verdict import Verdict
from qualification.results.conclusion import RunEnd
from qualification.results.run_files import (
    CellEntry,
    ControlEntry,
    CostEntry,
    CulpritEntry,
    EndEntry,
    Line,
    ProofEntry,
    ResumedEntry,
    SymptomEntry,
    TroubleEntry,
)

from .sense import nonsense

_WITHOUT_EVIDENCE = (Verdict.UNTRUSTED, Verdict.UNSUPPORTED, Verdict.ERROR)


class EntryReader:
    """Takes the entries of a file, one after another.

    Args:
        path: The file, for messages.
        known: Ids of the run's cells.
        pairs: The pairs of the run.

    Its attributes are what `StoredRun` says of them; `past` are the troubles of former parts.
    """

    def __init__(self, path: Path, known: frozenset[str], pairs: tuple[str, ...]) -> None:
        self._path, self._known, self._pairs = path, known, pairs
        self.entries: dict[str, CellEntry] = {}
        self.parts: list[dict[str, dict[str, ControlResult]]] = [{}]
        self.part_of: dict[str, int] = {}
        self.finished: dict[str, tuple[int, CellEntry]] = {}
        self.troubles: list[str] = []
        self.past: list[str] = []
        self.proofs: dict[str, Evidence] = {}
        self.culprits: dict[str, CulpritFindings] = {}
        self.costs: dict[str, CostTurns] = {}
        self.symptoms: dict[str, Runs] = {}
        self.end: RunEnd | None = None
        self.resumed: list[str] = []

    def take(self, number: int, entry: Line) -> None:
        """Takes the entry of a line."""
        where = f"{self._path}:{number}"
        wrong = nonsense(entry, self._pairs)
        if wrong:
            raise UsageError(f"is damaged: {wrong}", where=where)
        if self.end is not None and not isinstance(entry, ResumedEntry):
            raise UsageError("the run ends before this line", where=where)
        match entry:
            case ProofEntry(id_, evidence):
                self.proofs[id_] = evidence  # supports the findings; no verdict rests on it
            case CulpritEntry(found):
                self.culprits[found.pair] = found
            case TroubleEntry(text):
                self.troubles.append(text)
            case CostEntry(turns):
                self.costs[turns.pair] = turns
            case SymptomEntry(pair, runs):
                self.symptoms[pair] = runs
            case ControlEntry():
                self._control(entry, where)
            case CellEntry():
                self._cell(entry, where)
            case ResumedEntry(at):
                self.resumed.append(at)
                self.past += self.troubles  # of a lab that has been in order since, or fails again
                self.troubles = []
                self.parts.append({})
                self.end = None
            case EndEntry(entries, end):
                if entries != number - 2:
                    raise UsageError(
                        f"says that {entries} entries come before it, and there are {number - 2}",
                        where=where,
                    )
                self.end = end

    def _control(self, entry: ControlEntry, where: str) -> None:
        controls = self.parts[-1].setdefault(entry.pair, {})
        if entry.result.name in controls:
            what = f"control {entry.result.name} of {entry.pair} occurs twice"
            raise UsageError(what, where=where)
        controls[entry.result.name] = entry.result

    def _cell(self, entry: CellEntry, where: str) -> None:
        part = len(self.parts) - 1
        if entry.id not in self._known:
            raise UsageError(f"there is no cell {entry.id!r} in the run", where=where)
        if self.part_of.get(entry.id) == part:
            raise UsageError(f"cell {entry.id} occurs twice", where=where)
        if entry.evidence is None and entry.verdict not in _WITHOUT_EVIDENCE:
            raise UsageError(
                f"cell {entry.id} is {entry.verdict} without any evidence", where=where
            )
        self.entries[entry.id] = entry
        self.part_of[entry.id] = part
        if entry.evidence is not None:
            self.finished[entry.id] = part, entry
