"""Which firmware of a NIC model failed what, and since when."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, func, or_, select

from .database import Database
from .queries import like
from .tables import CELLS, FAILING, NICS, RUNS


@dataclass(frozen=True)
class Fault:
    """A fault that a firmware has shown on NICs of a model.

    Attributes:
        signature: What the hardware did, by name and layer; None where that is not known.
        culprit: The features whose turning off heals it; None where that is not known.
        cells: Distinct cells that failed by it.
        runs: Runs in which it was seen.
        first: When the first of these began.
        last: When the last of these began.
    """

    signature: str | None
    culprit: str | None
    cells: int
    runs: int
    first: str
    last: str


@dataclass(frozen=True)
class FirmwareHistory:
    """What is known of one firmware on NICs of a model.

    Attributes:
        driver: The driver.
        pci_id: Vendor and device; None where the host does not say.
        firmware: The firmware.
        nics: Different NICs, by serial number, or else by host and interface.
        kernels: Kernels that it was run with.
        runs: Runs in which it was a DUT.
        failed: Runs among them in which cells of it failed.
        first: When the first run began (ISO 8601, UTC).
        last: When the last run began.
        last_failed: Cells that failed in the last run.
        last_judged: Cells that passed or failed in the last run.
        passed_before: When the last run began in which none failed, before the first that failed;
            None if there is none.
        faults: The faults that it has shown, those of most cells first.
    """

    driver: str
    pci_id: str | None
    firmware: str
    nics: int
    kernels: tuple[str, ...]
    runs: int
    failed: int
    first: str
    last: str
    last_failed: int
    last_judged: int
    passed_before: str | None
    faults: tuple[Fault, ...]


def history(database: Database, model: str = "") -> list[FirmwareHistory]:
    """Returns what is known of each firmware of each NIC model, in the order of time.

    Args:
        database: The store.
        model: Driver, PCI id or serial number of the NICs that are asked for; may have `*`; empty
            for all.
    """
    asked = [NICS.c.role == "dut", NICS.c.run == RUNS.c.number]
    if model:
        names = (NICS.c.driver, NICS.c.pci_id, NICS.c.serial)
        asked.append(or_(*(like(name, model) for name in names)))
    key = NICS.c.driver, NICS.c.pci_id, NICS.c.firmware
    seen = select(NICS, RUNS.c.started).where(*asked).order_by(RUNS.c.started, RUNS.c.id)
    cell = CELLS.c.offload_set + "/" + CELLS.c.flow
    faults = (
        select(
            *key,
            CELLS.c.signature,
            CELLS.c.culprit,
            func.count(cell.distinct()).label("cells"),
            func.count(NICS.c.run.distinct()).label("runs"),
            func.min(RUNS.c.started).label("first"),
            func.max(RUNS.c.started).label("last"),
        )
        .where(CELLS.c.nic == NICS.c.number, CELLS.c.verdict.in_(FAILING), *asked)
        .group_by(*key, CELLS.c.signature, CELLS.c.culprit)
    )
    with database.reading() as connection:
        rows = connection.execute(seen).all()
        found = connection.execute(faults).all()
    by_key: dict[tuple[Any, ...], list[Row[Any]]] = {}
    for row in rows:
        by_key.setdefault((row.driver, row.pci_id, row.firmware), []).append(row)
    of_key: dict[tuple[Any, ...], list[Fault]] = {}
    for row in found:
        of_key.setdefault(tuple(row[:3]), []).append(Fault(*row[3:]))
    return [_history(named, some, of_key.get(named, ())) for named, some in by_key.items()]


def _history(
    named: tuple[Any, ...], rows: Sequence[Row[Any]], faults: Iterable[Fault]
) -> FirmwareHistory:
    failing = [row for row in rows if row.failed + row.known]
    fine = [r.started for r in rows if not r.failed + r.known and r.passed]
    before = [at for at in fine if failing and at < failing[0].started]
    last = rows[-1]
    driver, pci_id, firmware = named
    return FirmwareHistory(
        driver,
        pci_id,
        firmware,
        nics=len({row.serial or (row.host, row.interface) for row in rows}),
        kernels=tuple(dict.fromkeys(row.kernel for row in rows)),
        runs=len({row.run for row in rows}),
        failed=len({row.run for row in failing}),
        first=rows[0].started,
        last=last.started,
        last_failed=sum(r.failed + r.known for r in rows if r.run == last.run),
        last_judged=sum(r.passed + r.failed + r.known for r in rows if r.run == last.run),
        passed_before=before[-1] if before else None,
        faults=tuple(sorted(faults, key=lambda fault: (-fault.cells, fault.first))),
    )
