"""Where pytest keeps what is ours: on its config, and on each test."""

from __future__ import annotations

import pytest

from qualification.campaign import Campaign
from qualification.judge.controls import ControlResult
from qualification.judge.symptom import Symptom

from .bench import Outcome

CAMPAIGN = pytest.StashKey[Campaign]()
OUTCOME = pytest.StashKey[Outcome]()
CONTROL = pytest.StashKey[tuple[str, ControlResult]]()
SYMPTOM = pytest.StashKey[Symptom]()
