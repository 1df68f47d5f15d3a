"""Indexes runs: what their directories say becomes rows, once, whoever does it and how often."""

from __future__ import annotations

import hashlib
import platform
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, delete, insert, select

from qualification.errors import UsageError
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict
from qualification.results import matrix
from qualification.results.matrix import Matrix, NicRow
from qualification.results.run_files import EVIDENCE
from qualification.results.stored import files

from .database import Database
from .tables import CELLS, MATRICES, NICS, RUNS

Done = Literal["new", "changed", "there already"]
_CELL = re.compile(rb'^\{"n": (\d{1,9}), "id": "([ !#-\[\]-~]*)", "evidence": ', re.MULTILINE)
"""How the line of a cell begins in evidence.jsonl; that of a proof has a "#" in its id."""


@dataclass(frozen=True)
class Indexed:
    """What became of a run that was to be indexed."""

    id: str
    done: Done


def index(database: Database, made: Matrix, directory: Path) -> Indexed:
    """Puts the results of a run into the store, or nothing if they are there already.

    What is there of the same run from before, such as before it was continued, is replaced.

    Args:
        database: The store.
        made: The results.
        directory: The run's directory.

    Raises:
        LabError: The database fails.
        UsageError: The store has another run of that id.
    """
    content = matrix.dump(made)
    digest = hashlib.sha256(content).hexdigest()
    place = {"machine": platform.node(), "directory": str(directory.resolve())}
    lines = _lines(directory / EVIDENCE)
    with database.writing() as connection:
        found = connection.execute(select(RUNS).where(RUNS.c.id == made.run.id)).one_or_none()
        if found is not None:
            if found.started != utc(made.run.started):
                raise UsageError(
                    f"another run of the id {made.run.id} is there, which began {found.started} "
                    f"and is in {found.directory} on {found.machine}",
                    where=database.name,
                    hint="use another store for one of them",
                )
            if found.digest == digest and not _gone(found.machine, found.directory):
                return Indexed(made.run.id, "there already")
            connection.execute(delete(RUNS).where(RUNS.c.number == found.number))
        _insert(connection, made, {**place, "digest": digest}, content, lines)
    return Indexed(made.run.id, "new" if found is None else "changed")


def _gone(machine: str, directory: str) -> bool:
    """Returns whether a directory was on this machine and is no longer: a copy takes its place."""
    return machine == platform.node() and not Path(directory).is_dir()


def utc(text: str) -> str:
    """Returns a time (ISO 8601) in UTC, so that texts sort as times do.

    Raises:
        UsageError: It is no time.
    """
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        raise UsageError(f"is not the matrix of a run: {text!r} is no time") from None


def _insert(
    connection: Connection,
    made: Matrix,
    about: Mapping[str, str],
    content: bytes,
    lines: Mapping[str, int],
) -> None:
    run = made.run
    values = {
        "id": run.id,
        "started": utc(run.started),
        "finished": utc(run.finished) if run.finished else None,
        "outcome": str(run.outcome),
        "plan": run.plan,
        "version": f"{run.version} ({run.commit})" if run.commit else run.version,
        "topology": run.topology,
        "planned": run.completeness.planned,
        "selected": run.completeness.selected,
        "carried_out": run.completeness.run,
        "rate": run.demand.rate,
        "confidence": run.demand.confidence,
        **about,
    }
    number = connection.execute(insert(RUNS).values(values).returning(RUNS.c.number)).scalar_one()
    connection.execute(insert(MATRICES).values(run=number, content=zlib.compress(content)))
    for nic in made.nics:
        cells = [cell for cell in made.cells if cell.pair == nic.pair and nic.role == "dut"]
        row = {"run": number, **_nic(nic), **_counted(cells)}
        of = connection.execute(insert(NICS).values(row).returning(NICS.c.number)).scalar_one()
        if cells:
            connection.execute(insert(CELLS), list(_cells(of, cells, lines)))


def _nic(nic: NicRow) -> dict[str, Any]:
    names = [column.name for column in NICS.c if hasattr(nic, column.name)]
    return {name: getattr(nic, name) for name in names}


def _counted(cells: Sequence[CellRow]) -> dict[str, int]:
    count = Counter(cell.verdict for cell in cells)
    return {
        "cells": len(cells),
        "passed": count[Verdict.PASS],
        "failed": count[Verdict.FAIL] + count[Verdict.LOSS],
        "known": count[Verdict.KNOWN],
        "not_judged": count[Verdict.ERROR] + count[Verdict.INCONCLUSIVE] + count[Verdict.UNTRUSTED],
    }


def _cells(
    nic: int, cells: Sequence[CellRow], lines: Mapping[str, int]
) -> Iterator[dict[str, Any]]:
    for position, cell in enumerate(cells):
        yield {
            "nic": nic,
            "position": position,
            "offload_set": cell.set_id,
            "flow": cell.flow.id,
            "verdict": str(cell.verdict),
            "frames": cell.frames,
            "wrong": max(cell.bad, cell.wrong),
            "lost": cell.lost,
            "signature": cell.signature.partition(":")[0] if cell.signature else None,
            "culprit": " + ".join(cell.culprit) if cell.culprit else None,
            "evidence_line": lines.get(cell.id),
        }


def _lines(path: Path) -> dict[str, int]:
    """Returns the line of evidence.jsonl that has the newest entry of each cell, by its id."""
    try:
        evidence = files.content(path)
    except UsageError:
        return {}
    return {
        line[2].decode(): int(line[1]) for line in _CELL.finditer(evidence) if b"#" not in line[2]
    }
