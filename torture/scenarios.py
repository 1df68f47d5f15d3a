"""Every scenario by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from .hostile import hostile
from .kills import kills
from .mishaps import mishaps
from .together import controllers, pairs
from .trial import Setting, Trial


@dataclass(frozen=True)
class Scenario:
    """A scenario.

    Attributes:
        title: What must hold.
        trials: Yields one trial for each time that it is tried.
        tested: Whether scripts/test tries it as well, with fewer examples.
    """

    title: str
    trials: Callable[[Setting], Iterator[Trial]]
    tested: bool = False


SCENARIOS: Mapping[str, Scenario] = {
    "kills": Scenario("SIGKILL at any moment changes no host and loses no cell", kills),
    "mishaps": Scenario("links, hosts, disks and clocks that fail blame nobody", mishaps),
    "controllers": Scenario("of two controllers one qualifies, and the other stops", controllers),
    "pairs": Scenario("pairs of the same two hosts have each their own faults", pairs),
    "hostile": Scenario("hostile input ends as an error or a result", hostile, tested=True),
}
