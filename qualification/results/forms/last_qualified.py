"""When a NIC was last qualified, by the runs of the store."""

from __future__ import annotations

from datetime import datetime

from qualification.results import matrix
from qualification.results.conclusion import RunOutcome
from qualification.results.index import queries
from qualification.results.index.database import Database
from qualification.results.matrix import Matrix, NicRow
from qualification.results.terminal.overview import outcome


def last_qualified(database: Database, results: Matrix) -> dict[str, datetime]:
    """Returns when the last run up to this one began in which a NIC was QUALIFIED, by its pair.

    A NIC is the same if host, interface, driver and firmware are. One that never was is left out.

    Args:
        database: The store.
        results: The run that is told of.

    Raises:
        UsageError: There is no store.
        LabError: The database fails.
    """
    found = {nic.pair: _of(database, nic, results) for nic in results.nics if nic.role == "dut"}
    return {pair: at for pair, at in found.items() if at is not None}


def _of(database: Database, nic: NicRow, results: Matrix) -> datetime | None:
    until = datetime.fromisoformat(results.run.started)
    for run in queries.runs(database, queries.Filter()):
        at = datetime.fromisoformat(run.started)
        if at > until or run.selected < run.planned:
            continue
        for dut in run.duts:
            if _key(dut) != _key(nic) or dut.failed or dut.not_judged:
                continue
            stored = matrix.parse(queries.content(database, run.id), f"run {run.id}")
            if outcome(stored, dut.pair) is RunOutcome.QUALIFIED:
                return at
    return None


def _key(nic: NicRow | queries.ListedNic) -> tuple[str, str, str, str]:
    return nic.host, nic.interface, nic.driver, nic.firmware
