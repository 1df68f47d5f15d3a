"""How long a run is said to take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from qualification.agent.host.machine import loop_seconds
from qualification.campaign import Campaign


def with_loop(run: Campaign, name: str, seconds: float) -> Campaign:
    nics = {
        each: replace(nic, host=replace(nic.host, loop_seconds=seconds)) if name in each else nic
        for each, nic in run.inventory.nics.items()
    }
    return replace(run, inventory=replace(run.inventory, nics=nics))


@pytest.mark.parametrize("end", ["dut", "peer"])
def test_a_slow_host_takes_longer(campaign: Callable[..., Campaign], end: str) -> None:
    run = campaign(x710=("i40e", "8.30"))
    usual = run.seconds("x710")
    assert with_loop(run, end, 0.0011).seconds("x710") == usual
    # Measured: 0.015 s under emulation, where 1.15 ms are usual.
    assert with_loop(run, end, 0.015).seconds("x710") == pytest.approx(6.5 * usual, rel=0.01)


def test_the_loop_is_measured() -> None:
    assert 1e-5 < loop_seconds() < 5
