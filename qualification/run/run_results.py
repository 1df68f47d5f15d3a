"""The results of a run, collected from the reports of its tests: rows, evidence, the exit code."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from qualification.campaign import Campaign
from qualification.judge.controls import pace_of
from qualification.judge.culprit.cost import CostTurns, costs
from qualification.judge.culprit.findings import CulpritFindings, explained, mitigations
from qualification.judge.outcome import never_ran
from qualification.judge.result_row import CellRow, row
from qualification.judge.symptom import Symptom
from qualification.judge.verdict import Verdict
from qualification.results import matrix
from qualification.results.conclusion import Conclusion, RunEnd, Selection, conclude
from qualification.results.directories import this_process
from qualification.results.run_directory import StoredRun
from qualification.results.run_files import ResumedEntry, TroubleEntry, dump_entry
from qualification.results.store import Store

from .culprits import PROOFS, cost_of, findings_of
from .ending.left_changed import sentences_of
from .report_data import BLAMES_NIC, CONTROLS, ENTRY, paces_of, row_of
from .symptom import CALLS, symptom_of

_LOG = logging.getLogger("vxqual.run")


class RunResults:
    """Collects the results of a run and stores the evidence as it arrives.

    Args:
        store: The store of the run; None if nothing is to be stored.
        selection: What narrows the run to some cells of its plan.
        before: What it has stored before, if it is continued.

    Attributes:
        findings: What the search for culprits found, by pair.
        tracebacks: Errors of vxqual itself, with the id of the test.
        left_changed: What hosts are left changed by, in sentences.
        troubles: Errors of the lab that belong to no cell, those among them.
        before: What it has stored before, if it is continued.
        failure: Why something could not be stored; None as long as everything is.
    """

    def __init__(
        self, store: Store | None, selection: Selection, before: StoredRun | None = None
    ) -> None:
        self._store, self._selection, self._end = store, selection, RunEnd()
        self.before, self._resumed = before, before.resumed if before else ()
        self._planned: dict[str, CellRow] = {}
        self._rows: dict[str, CellRow] = {}
        self._symptoms: dict[str, Symptom] = {}
        parts = before.parts if before else ()
        self._paces = {pair: p for part in parts for pair, of in part.items() if (p := pace_of(of))}
        self._costs: dict[str, CostTurns] = {}
        self.findings: dict[str, CulpritFindings] = {}
        self._blamed = self._doubted = False
        self._unready: Mapping[str, str] = {}
        self.tracebacks: list[str] = []
        self.left_changed: list[str] = []
        self.troubles: list[str] = []
        self.failure: OSError | None = None

    def select(self, campaign: Campaign, ids: Collection[str]) -> int:
        """Notes the cells that were selected; a cell without a report ends as an ERROR.

        Args:
            campaign: The run.
            ids: Ids of cells and of other tests, which are ignored. Every worker reports the same
                ones, and only the first report counts.

        Returns:
            The number of cells.
        """
        if self._planned:
            return len(self._planned)
        unready = self._unready = campaign.unready
        cells = [cell for pair in campaign.pairs for cell in campaign.cells(pair) if cell.id in ids]
        self._planned = {cell.id: row(cell, never_ran(cell, unready).judgement) for cell in cells}
        before = self.before
        if before is None:
            self._write(lambda store: store.begin(campaign, cells, self._selection))
        else:
            now = datetime.now(UTC).astimezone().isoformat(timespec="seconds")
            entry = ResumedEntry(now, this_process())
            self._resumed = (*before.resumed, now)
            self._write(lambda store: store.resume(before.lines, before.size, entry))
            if unready or before.campaign.unready:  # hosts are found now that were not, or reverse
                self._write(lambda store: store.ask(campaign, cells, self._selection))
        _LOG.info("%d cells selected", len(cells))
        return len(cells)

    def select_nothing(self) -> None:
        """Forgets the selection: the expression of -k or -m was invalid, and nothing ran."""
        self._planned = {}

    def add(self, report: pytest.TestReport) -> None:
        """Takes what a report carries."""
        made = row_of(report)
        if made is not None and made.verdict is Verdict.ERROR and made.pair in self._unready:
            made = None  # it was not tried; the row and the reason that are planned for it stay
        first = made is not None and made.id not in self._rows
        entries = [*getattr(report, CONTROLS, ()), *getattr(report, PROOFS, ())]
        calls = getattr(report, CALLS, None)
        if calls is not None and not (self.before and calls["pair"] in self.before.symptoms):
            entries.append(calls)
        if first and hasattr(report, ENTRY):
            entries.append(getattr(report, ENTRY))
        self._put(*entries)
        self.add_left_changed(sentences_of(report))
        self._paces.update(paces_of(report))
        if report.failed:
            self._add_failure(report, judged=first or hasattr(report, CONTROLS))
        symptom = symptom_of(report)
        if symptom is not None:
            self._symptoms[symptom.pair] = symptom
        found = findings_of(report)
        if found is not None:
            self.findings[found.pair] = found
        turns = cost_of(report)
        if turns is not None:
            self._costs[turns.pair] = turns
        if made is not None:  # a later error, of a teardown, does not replace a verdict
            self._rows.setdefault(made.id, made)

    def add_left_changed(self, sentences: Collection[str]) -> None:
        """Takes what hosts are left changed by, which no verdict includes."""
        self.left_changed += sentences
        self._doubted |= bool(sentences)
        self._add_troubles(sentences)

    def _add_troubles(self, sentences: Collection[str]) -> None:
        self.troubles += sentences
        self._put(*(dump_entry(TroubleEntry(text)) for text in sentences))

    def _add_failure(self, report: pytest.TestReport, *, judged: bool) -> None:
        text = f"{report.nodeid}: {report.longreprtext}"
        pair = report.nodeid.partition("[")[2].partition("/")[0]
        if not (judged or pair in self._unready):  # no verdict includes this error: of a host, say
            _LOG.error("%s", text)
            self._add_troubles([text])
        blamed = bool(getattr(report, BLAMES_NIC, False))
        self._blamed |= blamed
        self._doubted |= not blamed
        if not isinstance(report.longrepr, str):  # not raised on purpose: the user has to see it
            self.add_traceback(report)

    def add_traceback(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Keeps an error of vxqual itself; the settings of the cases hide tracebacks."""
        _LOG.error("an error of vxqual itself in %s:\n%s", report.nodeid, report.longreprtext)
        self.tracebacks.append(f"{report.nodeid}\n{report.longreprtext}")

    def end(self, end: RunEnd, *, broken: bool = False) -> None:
        """Completes the store.

        Args:
            end: How the run came to its end.
            broken: Whether an error of vxqual itself ended it.
        """
        self._end = end
        self._doubted |= broken
        self._write(lambda store: store.end(end))

    def _put(self, *entries: Mapping[str, Any]) -> None:
        self._write(lambda store: store.add(*entries))

    def _write(self, act: Callable[[Store], None]) -> None:
        """Writes to the store; after a failure there is none any more, and results stay here."""
        if self._store is None:
            return
        try:
            act(self._store)
        except OSError as error:
            self._store, self.failure = None, error

    @property
    def empty(self) -> bool:
        """Whether no cell was selected and none has reported."""
        return not self._planned | self._rows

    @property
    def incomplete(self) -> bool:
        """Whether some cells have no result, or ended in an error of the lab."""
        rows = (self._planned | self._rows).values()
        return any(made.verdict is Verdict.ERROR for made in rows)

    def conclusion(self, campaign: Campaign) -> Conclusion:
        """Returns the outcome of the run, with its exit code."""
        silent = self._planned.keys() - self._rows.keys()
        return conclude(
            campaign,
            (self._planned | self._rows).values(),
            self._rows.keys(),
            self._selection,
            self._end,
            blamed=self._blamed,
            doubted=self._doubted or bool(silent),
        )

    def matrix(self, campaign: Campaign) -> matrix.Matrix | None:
        """Returns the results as a matrix; None if there are none."""
        if self.empty and not self._symptoms:
            return None
        rows = (self._planned | self._rows).values()
        return matrix.build(
            campaign,
            [explained(made, self.findings.get(made.pair)) for made in rows],
            self.conclusion(campaign),
            self._symptoms.values(),
            mitigations(self.findings.values()),
            self._paces,
            self._resumed,
            costs(self.findings.values(), self._costs),
        )
