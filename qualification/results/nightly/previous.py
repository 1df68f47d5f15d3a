"""The last run before another one that it can be compared with, by the store."""

from __future__ import annotations

from datetime import datetime

from qualification.errors import UsageError, VxqualError
from qualification.results import matrix
from qualification.results.comparison.compare import compare
from qualification.results.comparison.model import Comparison
from qualification.results.index import queries
from qualification.results.index.database import Database
from qualification.results.matrix import Matrix, NicRow


def previous(database: Database, results: Matrix) -> Matrix:
    """Returns the last run before this one of the same plan, with one of its NICs.

    A NIC is the same if host and interface are, whatever its driver and firmware. A run counts if
    a cell of that NIC was judged: after a night in which the lab failed, the night before it does.

    Args:
        database: The store.
        results: The run that is told of, which need not be in the store.

    Raises:
        UsageError: There is no such run, or no store.
        LabError: The database fails.
    """
    began = datetime.fromisoformat(results.run.started)
    nics = {_place(nic) for nic in results.nics if nic.role == "dut"}
    for run in queries.runs(database, queries.Filter()):
        if run.id == results.run.id or datetime.fromisoformat(run.started) >= began:
            continue
        judged = (_place(dut) for dut in run.duts if dut.passed + dut.failed + dut.known)
        if run.plan == results.run.plan and nics.intersection(judged):
            return matrix.parse(queries.content(database, run.id), f"run {run.id}")
    raise UsageError(
        f"{database.name} has no earlier run of plan {results.run.plan} that judged a NIC of it",
        where=f"run {results.run.id}",
        hint="it is there after the next run; two runs are compared by vxqual compare OLD NEW",
    )


def since(database: Database | None, results: Matrix) -> Comparison | str:
    """Returns a run compared with the one before it, or why it cannot be, in a sentence.

    Args:
        database: The store; None if there is none.
        results: The run.
    """
    if database is None:
        return "There is no store that knows an earlier run"
    try:
        return compare(previous(database, results), results)
    except VxqualError as error:
        return f"Nothing is compared: {error.what}"


def _place(nic: NicRow | queries.ListedNic) -> tuple[str, str]:
    return nic.host, nic.interface
