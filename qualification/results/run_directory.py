"""Reads a stored run back, as far as it got: undamaged, of this schema and of one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from qualification.campaign import Campaign
from qualification.errors import UsageError
from qualification.judge.controls import ControlResult
from qualification.judge.culprit.cost import CostTurns
from qualification.judge.culprit.findings import CulpritFindings
from qualification.judge.evidence import Evidence
from qualification.judge.symptom import Runs
from qualification.messages.untrusted import UntrustedError
from qualification.plan.cells import Cell

from . import directories
from .conclusion import RunEnd, Selection
from .run_files import (
    EVIDENCE,
    LINE,
    RUN,
    SCHEMA,
    CellEntry,
    Line,
)
from .schema import check_schema
from .stored import files
from .stored.entries import EntryReader
from .stored.files import first
from .stored.sense import check_run

_CELLS = TypeAdapter(tuple[Cell, ...])
_SELECTION = TypeAdapter(Selection)


Controls = Mapping[str, Mapping[str, ControlResult]]
"""Controls by pair and name."""


@dataclass(frozen=True)
class StoredRun:
    """A run as it was stored.

    A run that was continued has several parts, of which each has controls of its own.

    Attributes:
        directory: Its directory.
        campaign: What was asked.
        cells: The cells that were selected, in their order.
        entries: What is known of them, by their ids.
        parts: The controls of each part.
        part_of: The part that the entry of each cell is of, by its id.
        finished: The newest entries with evidence and their parts, by the ids of their cells; a
            part in which such a cell could not be confirmed has a newer entry without any.
        troubles: Errors of the lab that belong to no cell, since the run was last continued.
        culprits: What the search found on each failing pair.
        proofs: The evidence of the cells that were run for that, by the ids made for them.
        costs: What the mitigation of each pair was measured to cost.
        symptoms: The calls that were made on each pair.
        selection: What narrowed the run to these cells.
        end: How it came to its end.
        resumed: When it was continued, each time.
        notes: What is worth saying of the files, in sentences.
        lines: How many whole lines of evidence there are.
        size: Their bytes.
    """

    directory: Path
    campaign: Campaign
    cells: tuple[Cell, ...]
    entries: Mapping[str, CellEntry] = field(default_factory=dict)
    parts: tuple[Controls, ...] = ({},)
    part_of: Mapping[str, int] = field(default_factory=dict)
    finished: Mapping[str, tuple[int, CellEntry]] = field(default_factory=dict)
    troubles: tuple[str, ...] = ()
    culprits: Mapping[str, CulpritFindings] = field(default_factory=dict)
    proofs: Mapping[str, Evidence] = field(default_factory=dict)
    costs: Mapping[str, CostTurns] = field(default_factory=dict)
    symptoms: Mapping[str, Runs] = field(default_factory=dict)
    selection: Selection = field(default_factory=Selection)
    end: RunEnd = field(default_factory=RunEnd)
    resumed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    lines: int = 0
    size: int = 0


def read_asked(directory: Path) -> StoredRun:
    """Reads what a run was asked, and nothing of what it has found, which may be long.

    Args:
        directory: Its directory, or a directory of runs, of which the latest one is meant.

    Raises:
        UsageError: There is no run, it is damaged, or it has another schema.
    """
    directory = directories.find(directory)
    campaign, cells, selection = _read_run(directory / RUN)
    return StoredRun(directory, campaign, cells, selection=selection)


def read(directory: Path) -> StoredRun:
    """Reads a run that `store.Store` wrote; needs nothing but its directory.

    A run without an end was killed, or goes on: it is interrupted, and what it has stored is good.
    Of its last line only a part may have been written, which is left out.

    Args:
        directory: Its directory, or a directory of runs, of which the latest one is meant.

    Raises:
        UsageError: There is no run, it is damaged, or it has another schema.
    """
    asked = read_asked(directory)
    path = asked.directory / EVIDENCE
    content = files.content(
        path, "it was copied incompletely: run.json and evidence.jsonl go together"
    )
    size = content.rfind(b"\n") + 1
    lines = content[:size].split(b"\n")[:-1]
    notes = []
    if size < len(content):
        notes.append(
            f"line {len(lines) + 1} of {EVIDENCE} is incomplete, and left out: the run was killed "
            "while it wrote it, or is writing it now"
        )
    _check_head(path, lines[0] if lines else b"", asked.campaign.run_id)
    read = EntryReader(path, frozenset(cell.id for cell in asked.cells), asked.campaign.pairs)
    for number, line in enumerate(lines[1:], 2):
        read.take(number, _parse(path, number, line))
    notes += [f"before the run was continued: {text}" for text in read.past]
    return replace(
        asked,
        entries=read.entries,
        parts=tuple(read.parts),
        part_of=read.part_of,
        finished=read.finished,
        troubles=tuple(read.troubles),
        proofs=read.proofs,
        culprits=read.culprits,
        costs=read.costs,
        symptoms=read.symptoms,
        end=read.end or RunEnd(None, interrupted=True),
        resumed=tuple(read.resumed),
        notes=tuple(notes),
        lines=len(lines),
        size=size,
    )


def _read_run(path: Path) -> tuple[Campaign, tuple[Cell, ...], Selection]:
    try:
        document = files.plain(
            files.content(
                path, "a run that ended before its first cell has none; vxqual.log says why"
            )
        )
    except UntrustedError as error:
        raise UsageError(f"is not JSON, or is cut short: it has {error}", where=str(path)) from None
    stored = document if isinstance(document, dict) else {}
    campaign = stored.get("campaign")
    writer = campaign.get("version") if isinstance(campaign, dict) else None
    check_schema(stored.get("schema"), SCHEMA, str(path), writer)
    if isinstance(campaign, dict) and not isinstance(campaign.get("topology"), str):
        raise UsageError("is not a stored run: campaign.topology is no text", where=str(path))
    try:
        campaign = Campaign.parse(document["campaign"], environ=_AnyVariable())
        cells = _CELLS.validate_python(document["cells"])
        check_run(campaign, cells)
        return campaign, cells, _SELECTION.validate_python(document.get("selection", {}))
    except UsageError as error:  # which names the file that the topology came from
        raise UsageError(
            f"is not a stored run, for its topology cannot be used: {error}", where=str(path)
        ) from None
    except (KeyError, TypeError) as error:
        raise UsageError(f"is not a stored run: {error}", where=str(path)) from None
    except ValidationError as error:
        raise UsageError(f"is not a stored run: {first(error)}", where=str(path)) from None
    except ValueError as error:
        raise UsageError(f"is not a stored run: {error}", where=str(path)) from None


def _check_head(path: Path, line: bytes, run_id: str) -> None:
    try:
        head = files.plain(line)
    except UntrustedError:
        head = None
    if not isinstance(head, dict) or head.get("kind") != "head":
        raise UsageError("does not begin with the head of an evidence file", where=f"{path}:1")
    check_schema(head.get("schema"), SCHEMA, f"{path}:1")
    if head.get("run") != run_id:
        raise UsageError(
            f"belongs to run {head.get('run')}, and the {RUN} next to it to run {run_id}",
            where=str(path),
            hint="put the two files of one run together",
        )


def _parse(path: Path, number: int, line: bytes) -> Line:
    where = f"{path}:{number}"
    if not line.startswith(b'{"n": %d, ' % number):
        raise UsageError(
            "is damaged, or lines before it are missing: it does not begin with its number",
            where=where,
        )
    try:
        return files.valid(LINE, line)
    except ValidationError as error:
        raise UsageError(f"is damaged: {first(error)}", where=where) from None
    except UntrustedError as error:
        raise UsageError(f"is damaged: it has {error}", where=where) from None


class _AnyVariable(dict[str, str]):
    """An environment in which every variable is set: passwords are neither needed nor stored."""

    def __contains__(self, name: object) -> bool:
        return True

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ARG002
        return "not stored"
