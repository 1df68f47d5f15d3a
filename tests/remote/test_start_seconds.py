"""How long an agent may take to start."""

from __future__ import annotations

import pytest

from qualification.remote.install import Installed, start_seconds


@pytest.mark.parametrize(("probe", "most"), [(0.0, 30.0), (0.1, 30.0), (2.4, 72.0)])
def test_a_slow_host_gets_longer(probe: float, most: float) -> None:
    assert start_seconds(Installed("/agent.pyz", "0", "", 0, probe)) == most
