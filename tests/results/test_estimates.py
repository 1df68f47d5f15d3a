"""How long a run is said to take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from qualification.agent.host.machine import loop_seconds
from qualification.campaign import Campaign
from qualification.run.prepare import what_runs


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
    assert with_loop(run, end, 0.015).seconds("x710") == pytest.approx(2.554 * usual, rel=0.01)
    # Measured: 0.025 s under emulation, where 1.15 ms are usual; six pairs took 2.7 times as long.
    slow = with_loop(run, end, 0.0252).seconds("x710")
    assert 2.7 * usual / 2 < slow < 2.7 * usual * 2


def test_pairs_side_by_side_are_told_where_there_are_workers_for_them(
    campaign: Callable[..., Campaign],
) -> None:
    """Two pairs of a lab of virtual machines may have one worker, as they share its guests."""
    run = campaign(x710=("i40e", "8.30"), e810=("ice", "1.2"))
    alone = what_runs(run, 1)
    assert alone.startswith("2 pairs, plan quick: ")
    assert "-n auto" not in alone
    beside = what_runs(run, 2)
    assert beside.startswith(f"{alone}, ")
    assert beside.endswith(" with -n auto")


def test_the_loop_is_measured() -> None:
    assert 1e-5 < loop_seconds() < 5
