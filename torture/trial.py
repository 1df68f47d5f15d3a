"""What a scenario tries, and how it came out."""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path

from .side_by_side import Labs


@dataclass(frozen=True)
class Trial:
    """One try of a scenario.

    Attributes:
        what: What was done, for people.
        problems: What does not hold, a sentence each; none if all holds.
    """

    what: str
    problems: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setting:
    """What all scenarios are given.

    Attributes:
        times: How often a scenario of random moments is tried.
        random: Where moments and victims come from.
        scratch: A directory that is removed at the end.
        examples: How many inputs are invented for each test of hostile input.
        labs: The labs on which trials are made side by side.
    """

    times: int
    random: random.Random
    scratch: Path
    examples: int
    labs: Labs
