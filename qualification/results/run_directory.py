"""A run on disk: `run.json`, what was asked, and `evidence.jsonl`, what each verdict rests on.

Together they are all that a judgement needs: no host, no topology file, no secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from qualification.campaign import Campaign
from qualification.errors import UsageError
from qualification.judge.controls import ControlResult
from qualification.judge.culprit.findings import CulpritFindings
from qualification.judge.evidence import Evidence
from qualification.judge.verdict import Verdict
from qualification.plan.cells import Cell

SCHEMA = 1
"""Of both files, which are written together."""

_WITHOUT_EVIDENCE = (Verdict.UNTRUSTED, Verdict.UNSUPPORTED, Verdict.ERROR)

RUN, EVIDENCE = "run.json", "evidence.jsonl"


@dataclass(frozen=True)
class CellEntry:
    """What is known of one cell.

    Attributes:
        id: The cell's.
        evidence: What was gathered for it; None if it was not run.
        verdict: Then, how it ended all the same.
        reason: And why.
        kind: Tells entries apart.
    """

    id: str
    evidence: Evidence | None
    verdict: Verdict | None = None
    reason: str = ""
    kind: Literal["cell"] = "cell"


@dataclass(frozen=True)
class ControlEntry:
    """One control of a pair, with what it rests on."""

    pair: str
    result: ControlResult
    kind: Literal["control"] = "control"


@dataclass(frozen=True)
class TroubleEntry:
    """An error of the lab that is no cell's, such as a host that could not be put back."""

    text: str
    kind: Literal["trouble"] = "trouble"


@dataclass(frozen=True)
class ProofEntry:
    """A cell that was run to search for a culprit or to prove it: its id, "#" and a purpose."""

    id: str
    evidence: Evidence
    kind: Literal["proof"] = "proof"


@dataclass(frozen=True)
class CulpritEntry:
    """What came of the search on a pair."""

    findings: CulpritFindings
    kind: Literal["findings"] = "findings"


@dataclass(frozen=True)
class _End:
    """The last line: how many entries stand before it."""

    entries: int
    kind: Literal["end"] = "end"


Entry = CellEntry | ControlEntry | TroubleEntry | ProofEntry | CulpritEntry

_LINE: TypeAdapter[Entry | _End] = TypeAdapter(Annotated[Entry | _End, Field(discriminator="kind")])
_CELLS = TypeAdapter(tuple[Cell, ...])


@dataclass(frozen=True)
class StoredRun:
    """A run as it was stored.

    Attributes:
        campaign: What was asked.
        cells: Those selected, in their order.
        entries: What is known of them, by their ids.
        controls: Each pair's, by name.
        troubles: Errors of the lab that are no cell's.
        culprits: What came of the search on each failing pair.
    """

    campaign: Campaign
    cells: tuple[Cell, ...]
    entries: Mapping[str, CellEntry]
    controls: Mapping[str, Mapping[str, ControlResult]]
    troubles: tuple[str, ...]
    culprits: Mapping[str, CulpritFindings]


def dump_entry(entry: Entry) -> dict[str, Any]:
    """An entry as JSON types, which a worker's report can carry."""
    dumped: dict[str, Any] = _LINE.dump_python(entry, mode="json")
    return dumped


class Store:
    """Writes a run, entry by entry.

    Args:
        directory: Where; it exists.
    """

    def __init__(self, directory: Path) -> None:
        self._run, self._evidence = directory / RUN, directory / EVIDENCE
        self._entries: int | None = None

    def clear(self) -> None:
        """Removes an earlier run: what is found here afterwards is this one's."""
        self._run.unlink(missing_ok=True)
        self._evidence.unlink(missing_ok=True)
        self._entries = None

    def begin(self, campaign: Campaign, cells: Sequence[Cell]) -> None:
        """Writes what was asked; `cells` are those selected."""
        document = {
            "schema": SCHEMA,
            "campaign": campaign.dump(),
            "cells": _CELLS.dump_python(tuple(cells), mode="json"),
        }
        self._run.write_text(json.dumps(document) + "\n", encoding="utf-8")
        head = {"kind": "head", "schema": SCHEMA, "run": campaign.run_id}
        self._evidence.write_text(json.dumps(head) + "\n", encoding="utf-8")
        self._entries = 0

    def add(self, dumped: Mapping[str, Any]) -> None:
        """Appends an entry, dumped by `dump_entry`; does nothing where no run has begun."""
        if self._entries is not None:
            self._append(dumped)
            self._entries += 1

    def end(self) -> None:
        """Writes that there is no more to come."""
        if self._entries is not None:
            self._append(_LINE.dump_python(_End(self._entries), mode="json"))
            self._entries = None

    def _append(self, line: Mapping[str, Any]) -> None:
        with self._evidence.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read(directory: Path) -> StoredRun:
    """Reads a run that `Store` wrote, with nothing but its directory.

    Raises:
        UsageError: There is none, it is cut short, or it is not of this version.
    """
    campaign, cells = _read_run(directory / RUN)
    path = directory / EVIDENCE
    known = {cell.id for cell in cells}
    entries: dict[str, CellEntry] = {}
    controls: dict[str, dict[str, ControlResult]] = {}
    troubles = []
    culprits: dict[str, CulpritFindings] = {}
    for number, entry in _read_evidence(path, campaign.run_id):
        where = f"{path}:{number}"
        match entry:
            case ProofEntry():
                pass  # shows what the findings say; no cell rests on it
            case CulpritEntry(found):
                culprits[found.pair] = found
            case TroubleEntry(text):
                troubles.append(text)
            case ControlEntry(pair, result):
                if result.name in controls.setdefault(pair, {}):
                    raise UsageError(f"control {result.name} of {pair} comes twice", where=where)
                controls[pair][result.name] = result
            case CellEntry(id_) if id_ not in known:
                raise UsageError(f"there is no cell {id_!r} in the run", where=where)
            case CellEntry(id_) if id_ in entries:
                raise UsageError(f"cell {id_} comes twice", where=where)
            case CellEntry(id_, None, verdict) if verdict not in _WITHOUT_EVIDENCE:
                raise UsageError(f"cell {id_} has no evidence to be {verdict} by", where=where)
            case CellEntry(id_):
                entries[id_] = entry
    return StoredRun(campaign, cells, entries, controls, tuple(troubles), culprits)


def _read_run(path: Path) -> tuple[Campaign, tuple[Cell, ...]]:
    try:
        document = json.loads(_bytes(path, "give the directory that a run wrote its results to"))
    except ValueError:
        raise UsageError("is no JSON, or cut short", where=str(path)) from None
    _check_schema(document, str(path))
    try:
        campaign = Campaign.parse(document["campaign"], environ=_AnyVariable())
        return campaign, _CELLS.validate_python(document["cells"])
    except (KeyError, TypeError) as error:
        raise UsageError(f"is no stored run: {error}", where=str(path)) from None
    except ValidationError as error:
        raise UsageError(f"is no stored run: {_first(error)}", where=str(path)) from None


def _read_evidence(path: Path, run_id: str) -> Iterator[tuple[int, Entry]]:
    """The entries with their line numbers, once it is sure that none is missing."""
    lines = _bytes(path, "a run that was ended before its first cell has none").splitlines()
    try:
        head = json.loads(lines[0]) if lines else None
    except ValueError:
        head = None
    if not isinstance(head, dict) or head.get("kind") != "head":
        raise UsageError("does not begin as evidence does", where=f"{path}:1")
    _check_schema(head, f"{path}:1")
    if head.get("run") != run_id:
        raise UsageError(
            f"is of run {head.get('run')}, and {RUN} beside it of run {run_id}",
            where=str(path),
            hint="put the two files of one run together",
        )
    parsed = [(number, _parse(path, number, line)) for number, line in enumerate(lines[1:], 2)]
    if not parsed or parsed[-1][1] != _End(len(parsed) - 1):
        raise UsageError(
            f"is cut short behind line {len(lines)}",
            where=str(path),
            hint="its run was killed, or the file was not copied whole; run it again",
        )
    for number, entry in parsed[:-1]:
        if isinstance(entry, _End):
            raise UsageError("ends before its last line", where=f"{path}:{number}")
        yield number, entry


def _parse(path: Path, number: int, line: bytes) -> Entry | _End:
    try:
        return _LINE.validate_json(line)
    except ValidationError as error:
        raise UsageError(
            f"is damaged or cut short: {_first(error)}", where=f"{path}:{number}"
        ) from None


def _bytes(path: Path, hint: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), hint=hint) from None


def _check_schema(document: object, where: str) -> None:
    schema = document.get("schema") if isinstance(document, dict) else None
    if schema != SCHEMA:
        raise UsageError(
            f"has schema {schema!r}, and this vxqual reads {SCHEMA}",
            where=where,
            hint="judge it with the vxqual that made it",
        )


def _first(error: ValidationError) -> str:
    details = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, details["loc"]))
    return f"{place}: {details['msg']}" if place else details["msg"]


class _AnyVariable(dict[str, str]):
    """An environment in which every variable is set: passwords are not needed, and not there."""

    def __contains__(self, name: object) -> bool:
        return True

    def get(self, name: str, default: Any = None) -> Any:  # noqa: ARG002
        return "not stored"
