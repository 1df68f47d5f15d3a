"""Where pytest keeps what is ours: on its config, and on each test."""

from __future__ import annotations

import pytest

from qualification.campaign import Campaign
from qualification.judge.controls import ControlResult

from .bench import Outcome
from .culprits import Searched

CAMPAIGN = pytest.StashKey[Campaign]()
OUTCOME = pytest.StashKey[Outcome]()
CULPRIT = pytest.StashKey[Searched]()
CONTROL = pytest.StashKey[tuple[str, ControlResult]]()
