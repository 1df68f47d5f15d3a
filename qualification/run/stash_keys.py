"""Keys of what a run keeps in pytest's stashes: on the config, and on each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from qualification.campaign import Campaign
from qualification.judge.controls import ControlResult
from qualification.judge.outcome import Outcome
from qualification.judge.symptom import Runs

from .culprits import CulpritSearch

CAMPAIGN = pytest.StashKey[Campaign]()
"""On the config: the run."""

KEPT = pytest.StashKey[Path]()
"""On the config: the directory of the run, if it is continued."""

OUTCOME = pytest.StashKey[Outcome]()
STORED = pytest.StashKey[bool]()
CONTROLS = pytest.StashKey[tuple[str, dict[str, ControlResult]]]()
CULPRIT = pytest.StashKey[CulpritSearch]()
CALLS = pytest.StashKey[tuple[str, Runs]]()
"""On a test: what it found."""
