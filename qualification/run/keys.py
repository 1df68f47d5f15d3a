"""Where pytest keeps what is ours: on its config, and on each test."""

from __future__ import annotations

import pytest

from qualification.campaign import Campaign
from qualification.judge.controls import ControlResult
from qualification.judge.outcome import Outcome
from qualification.judge.symptom import Symptom

from .culprits import Searched

CAMPAIGN = pytest.StashKey[Campaign]()
OUTCOME = pytest.StashKey[Outcome]()
CONTROLS = pytest.StashKey[tuple[str, dict[str, ControlResult]]]()
CULPRIT = pytest.StashKey[Searched]()
SYMPTOM = pytest.StashKey[Symptom]()
