"""Reads a stored run back: complete, of this schema and of one run, or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from qualification.campaign import Campaign
from qualification.errors import UsageError
from qualification.judge.controls import ControlResult
from qualification.judge.culprit.findings import CulpritFindings
from qualification.judge.verdict import Verdict
from qualification.plan.cells import Cell

from . import directories
from .gate import RunEnd, Selection
from .run_files import (
    EVIDENCE,
    LINE,
    RUN,
    SCHEMA,
    CellEntry,
    ControlEntry,
    CulpritEntry,
    EndEntry,
    Entry,
    ProofEntry,
    TroubleEntry,
)
from .schema import check_schema

_WITHOUT_EVIDENCE = (Verdict.UNTRUSTED, Verdict.UNSUPPORTED, Verdict.ERROR)
_CELLS = TypeAdapter(tuple[Cell, ...])
_SELECTION = TypeAdapter(Selection)


@dataclass(frozen=True)
class StoredRun:
    """A run as it was stored.

    Attributes:
        campaign: What was asked.
        cells: The cells that were selected, in their order.
        entries: What is known of them, by their ids.
        controls: The controls of each pair, by name.
        troubles: Errors of the lab that belong to no cell.
        culprits: What the search found on each failing pair.
        selection: What narrowed the run to these cells.
        end: How it came to its end.
    """

    campaign: Campaign
    cells: tuple[Cell, ...]
    entries: Mapping[str, CellEntry]
    controls: Mapping[str, Mapping[str, ControlResult]]
    troubles: tuple[str, ...]
    culprits: Mapping[str, CulpritFindings]
    selection: Selection = field(default_factory=Selection)
    end: RunEnd = field(default_factory=RunEnd)


def read(directory: Path) -> StoredRun:
    """Reads a run that `store.Store` wrote; needs nothing but its directory.

    Args:
        directory: Its directory, or a directory of runs, of which the latest one is meant.

    Raises:
        UsageError: There is no run, it is cut short, or it has another schema.
    """
    directory = directories.find(directory)
    campaign, cells, selection = _read_run(directory / RUN)
    path = directory / EVIDENCE
    known = {cell.id for cell in cells}
    entries: dict[str, CellEntry] = {}
    controls: dict[str, dict[str, ControlResult]] = {}
    troubles = []
    culprits: dict[str, CulpritFindings] = {}
    lines, end = _read_evidence(path, campaign.run_id)
    for number, entry in lines:
        where = f"{path}:{number}"
        match entry:
            case ProofEntry():
                pass  # supports what the findings say; no verdict rests on it
            case CulpritEntry(found):
                culprits[found.pair] = found
            case TroubleEntry(text):
                troubles.append(text)
            case ControlEntry(pair, result):
                if result.name in controls.setdefault(pair, {}):
                    raise UsageError(f"control {result.name} of {pair} occurs twice", where=where)
                controls[pair][result.name] = result
            case CellEntry(id_) if id_ not in known:
                raise UsageError(f"there is no cell {id_!r} in the run", where=where)
            case CellEntry(id_) if id_ in entries:
                raise UsageError(f"cell {id_} occurs twice", where=where)
            case CellEntry(id_, None, verdict) if verdict not in _WITHOUT_EVIDENCE:
                raise UsageError(f"cell {id_} is {verdict} without any evidence", where=where)
            case CellEntry(id_):
                entries[id_] = entry
    return StoredRun(campaign, cells, entries, controls, tuple(troubles), culprits, selection, end)


def _read_run(path: Path) -> tuple[Campaign, tuple[Cell, ...], Selection]:
    try:
        document = json.loads(_bytes(path, "give the directory that a run wrote its results to"))
    except ValueError:
        raise UsageError("is not JSON, or is cut short", where=str(path)) from None
    stored = document if isinstance(document, dict) else {}
    campaign = stored.get("campaign")
    writer = campaign.get("version") if isinstance(campaign, dict) else None
    check_schema(stored.get("schema"), SCHEMA, str(path), writer)
    try:
        campaign = Campaign.parse(document["campaign"], environ=_AnyVariable())
        cells = _CELLS.validate_python(document["cells"])
        return campaign, cells, _SELECTION.validate_python(document.get("selection", {}))
    except (KeyError, TypeError) as error:
        raise UsageError(f"is not a stored run: {error}", where=str(path)) from None
    except ValidationError as error:
        raise UsageError(f"is not a stored run: {_first(error)}", where=str(path)) from None


def _read_evidence(path: Path, run_id: str) -> tuple[list[tuple[int, Entry]], RunEnd]:
    """Returns the entries with their line numbers, of which none is missing, and the run's end."""
    lines = _bytes(path, "a run that was ended before its first cell has no such file").splitlines()
    try:
        head = json.loads(lines[0]) if lines else None
    except ValueError:
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
    parsed = [(number, _parse(path, number, line)) for number, line in enumerate(lines[1:], 2)]
    last = parsed[-1][1] if parsed else None
    if not isinstance(last, EndEntry) or last.entries != len(parsed) - 1:
        raise UsageError(
            f"is cut short after line {len(lines)}",
            where=str(path),
            hint="its run was killed, or the file was not copied completely; run it again",
        )
    entries: list[tuple[int, Entry]] = []
    for number, entry in parsed[:-1]:
        if isinstance(entry, EndEntry):
            raise UsageError("ends before its last line", where=f"{path}:{number}")
        entries.append((number, entry))
    return entries, last.run


def _parse(path: Path, number: int, line: bytes) -> Entry | EndEntry:
    try:
        return LINE.validate_json(line)
    except ValidationError as error:
        raise UsageError(
            f"is damaged or cut short: {_first(error)}", where=f"{path}:{number}"
        ) from None


def _bytes(path: Path, hint: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), hint=hint) from None


def _first(error: ValidationError) -> str:
    details = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, details["loc"]))
    return f"{place}: {details['msg']}" if place else details["msg"]


class _AnyVariable(dict[str, str]):
    """An environment in which every variable is set: passwords are neither needed nor stored."""

    def __contains__(self, name: object) -> bool:
        return True

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ARG002
        return "not stored"
