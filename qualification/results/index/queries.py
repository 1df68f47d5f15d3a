"""What is asked of the store: which runs there are, where one is, and its results."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sqlalchemy import Row, Select, select

from qualification.errors import UsageError

from .database import Database
from .tables import MATRICES, NICS, RUNS

_MOST_BYTES = 64 << 20
"""Of the matrix of a run; what is cut there is refused as damaged."""


@dataclass(frozen=True)
class Filter:
    """Which runs are asked for; what is empty does not matter.

    Texts may have `*` for any characters.

    Attributes:
        driver: Of a DUT.
        firmware: Of a DUT.
        serial: Serial number of a DUT.
        pair: Name of a pair.
        topology: The topology file, as the user named it.
        outcome: How the run ended.
        since: When it began at the earliest (ISO 8601, UTC).
        limit: The most runs, the newest ones; 0 for all.
    """

    driver: str = ""
    firmware: str = ""
    serial: str = ""
    pair: str = ""
    topology: str = ""
    outcome: str = ""
    since: str = ""
    limit: int = 0


@dataclass(frozen=True)
class ListedNic:
    """A DUT of a run in a list, with how its cells ended."""

    pair: str
    host: str
    interface: str
    driver: str
    firmware: str
    pci_id: str | None
    serial: str | None
    kernel: str
    cells: int
    passed: int
    failed: int
    known: int
    not_judged: int


@dataclass(frozen=True)
class ListedRun:
    """A run in a list.

    Attributes:
        started: When it began (ISO 8601, UTC).
        machine: The machine on which its directory is.
    """

    id: str
    started: str
    finished: str | None
    outcome: str
    plan: str
    version: str
    topology: str
    planned: int
    selected: int
    carried_out: int
    machine: str
    directory: str
    duts: tuple[ListedNic, ...]


_NIC_NAMES = [field.name for field in fields(ListedNic)]
_RUN_NAMES = [field.name for field in fields(ListedRun) if field.name != "duts"]


def runs(database: Database, wanted: Filter) -> list[ListedRun]:
    """Returns the runs that are asked for, the newest first.

    Raises:
        UsageError: There is no store.
        LabError: The database fails.
    """
    chosen = select(RUNS).order_by(RUNS.c.started.desc(), RUNS.c.id.desc())
    on_nic = [
        like(NICS.c[name], text)
        for name in ("driver", "firmware", "serial", "pair")
        if (text := getattr(wanted, name))
    ]
    if on_nic:
        of = select(NICS.c.run).where(NICS.c.role == "dut", *on_nic)
        chosen = chosen.where(RUNS.c.number.in_(of))
    if wanted.topology:
        chosen = chosen.where(like(RUNS.c.topology, wanted.topology))
    if wanted.outcome:
        chosen = chosen.where(RUNS.c.outcome == wanted.outcome)
    if wanted.since:
        chosen = chosen.where(RUNS.c.started >= wanted.since)
    if wanted.limit:
        chosen = chosen.limit(wanted.limit)
    with database.reading() as connection:
        found = connection.execute(chosen).all()
        of_run = _duts(connection.execute(_nics_of(chosen)).all())
    return [
        ListedRun(
            **{name: getattr(row, name) for name in _RUN_NAMES},
            duts=tuple(of_run.get(row.number, ())),
        )
        for row in found
    ]


def ids(database: Database) -> frozenset[str]:
    """Returns the ids of all runs of the store."""
    with database.reading() as connection:
        return frozenset(connection.scalars(select(RUNS.c.id)))


def place(database: Database, run: str) -> tuple[str, Path, str]:
    """Returns where a run is: its id, its directory and the machine on which that is.

    Args:
        database: The store.
        run: The id of the run, or how it begins, if no other does.

    Raises:
        UsageError: There is no such run, or several.
    """
    found = _found(database, run)
    return found.id, Path(found.directory), found.machine


def content(database: Database, run: str) -> bytes:
    """Returns the matrix of a run as the store has it, JSON; arguments as for `place`."""
    found = _found(database, run)
    asked = select(MATRICES.c.content).where(MATRICES.c.run == found.number)
    with database.reading() as connection:
        packed: bytes = connection.execute(asked).scalar_one()
    return zlib.decompressobj().decompress(packed, _MOST_BYTES)


def _found(database: Database, run: str) -> Row[Any]:
    begins = RUNS.c.id.like(_escaped(run) + "%", escape="\\")
    with database.reading() as connection:
        found = connection.execute(select(RUNS).where(begins).order_by(RUNS.c.id).limit(3)).all()
    exact = [row for row in found if row.id == run] or found
    if len(exact) == 1:
        return exact[0]
    if found:
        others = ", ".join(row.id for row in found)
        raise UsageError(
            "several runs begin like that",
            where=run,
            hint=f"give more of the id; they are {others}{' and more' * (len(found) > 2)}",
        )
    raise UsageError(
        f"there is no such directory, and no run of that id in {database.name}",
        where=run,
        hint="vxqual runs lists the runs of the store; vxqual import DIR puts one there",
    )


def _nics_of(chosen: Select[Any]) -> Select[Any]:
    """Returns the query for the DUTs of the runs that another query chooses."""
    numbers = chosen.with_only_columns(RUNS.c.number)
    of_runs = NICS.c.run.in_(numbers.scalar_subquery())
    return select(NICS).where(NICS.c.role == "dut", of_runs).order_by(NICS.c.number)


def _duts(rows: Iterable[Row[Any]]) -> dict[int, list[ListedNic]]:
    found: dict[int, list[ListedNic]] = {}
    for row in rows:
        nic = ListedNic(**{name: getattr(row, name) for name in _NIC_NAMES})
        found.setdefault(row.run, []).append(nic)
    return found


def like(column: Any, text: str) -> Any:
    """Returns the condition that a column is a text, in which `*` stands for any characters."""
    if "*" not in text:
        return column == text
    return column.like(_escaped(text).replace("*", "%"), escape="\\")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
