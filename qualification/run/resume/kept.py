"""What a run that is continued has found before: its cells are not run again."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from qualification.judge.controls import ControlResult, combined, judge_again
from qualification.judge.culprit.cost import CostTurns
from qualification.judge.culprit.findings import CulpritFindings
from qualification.judge.evidence import Evidence
from qualification.judge.symptom import Runs
from qualification.results import run_directory
from qualification.results.run_directory import Controls


class Kept:
    """The results of the earlier parts of a run; of a new run there are none.

    Args:
        directory: The directory of the run; None for a new run.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._stored = None if directory is None else run_directory.read(directory)

    def cell(self, id_: str) -> Evidence | None:
        """Returns the evidence of a cell; None if it has to be run."""
        found = None if self._stored is None else self._stored.finished.get(id_)
        return None if found is None else found[1].evidence

    def note(self, id_: str) -> str:
        """Returns the note on a cell whose evidence is kept."""
        return "" if self._stored is None else self._stored.finished[id_][1].note

    def controls(
        self, pair: str, now: Mapping[str, ControlResult], cell: str | None = None
    ) -> dict[str, ControlResult]:
        """Returns the controls that a cell of a pair rests on.

        Args:
            pair: The pair.
            now: Its controls of this part of the run.
            cell: The id of a cell whose evidence is kept; None for what runs now.
        """
        parts = [part.get(pair, {}) for part in self._parts]
        if cell is None or self._stored is None:
            return combined(now, parts)
        own = parts.pop(self._stored.finished[cell][0])
        return combined(own, [*parts, now])

    def findings(self, pair: str) -> CulpritFindings | None:
        """Returns what the search for culprits has found on a pair; None if it was not made."""
        return None if self._stored is None else self._stored.culprits.get(pair)

    def cost(self, pair: str) -> CostTurns | None:
        """Returns what the mitigation of a pair was measured to cost; None if it was not."""
        return None if self._stored is None else self._stored.costs.get(pair)

    def calls(self, pair: str) -> Runs | None:
        """Returns the calls that were made on a pair; None if none were."""
        return None if self._stored is None else self._stored.symptoms.get(pair)

    @cached_property
    def _parts(self) -> tuple[Controls, ...]:
        if self._stored is None:
            return ()
        campaign = self._stored.campaign
        return tuple(
            {
                pair: {
                    name: judge_again(result, campaign.demand, campaign.ends(pair).port)
                    for name, result in controls.items()
                }
                for pair, controls in part.items()
            }
            for part in self._stored.parts
        )
