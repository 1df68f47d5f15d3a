"""The page of a stored run, from its directory."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

from qualification.progress import Progress
from qualification.results import rejudge, run_argument, run_directory
from qualification.results.directories import holder
from qualification.results.run_directory import StoredRun
from qualification.results.run_files import MATRIX, CellEntry

from .build import PageInput, build
from .details import detail_of
from .evidence_model import PageDetail
from .model import Page


def page_of(directory: Path, now: datetime, say: Progress) -> Page:
    """Returns the page of a stored run, or of one that goes on, as far as it came.

    Args:
        directory: The directory of the run.
        now: The time, with its zone.
        say: Is told what takes long.

    Raises:
        UsageError: There is no run, it is damaged, or it has another schema.
    """
    run = run_directory.read(directory)
    live = bool(holder(directory))
    if live or not (directory / MATRIX).exists():
        say("judging the cells of a run that has not written its results")
        made = rejudge.judge(run, now.date()).matrix
    else:
        made = run_argument.results(directory)
    return build(
        PageInput(
            made,
            details(run),
            tuple(run.culprits.values()),
            now.isoformat(timespec="seconds"),
            live,
            (*run.troubles, *run.notes),
        )
    )


def details(run: StoredRun) -> dict[str, PageDetail]:
    """Returns what the page shows of the evidence of each cell of a run."""
    ports = {cell.id: cell.flow.port if cell.flow.tunnel else 0 for cell in run.cells}
    confidence = run.campaign.demand.confidence
    entries: Iterable[tuple[str, CellEntry]] = run.entries.items()
    return {
        id_: detail_of(entry.evidence, ports[id_], confidence)
        for id_, entry in entries
        if entry.evidence is not None
    }
