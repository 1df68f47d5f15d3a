"""Which fault the reproducer shows, and which cells it says nothing of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from qualification.judge.verdict import Verdict
from qualification.plan.features import TNL_CSUM
from qualification.results.bundle.reproduction import not_shown, reproduction
from tests.results.conftest import ALL_ON, UDP, made
from tests.results.page.conftest import failing, ran

OTHER = replace(
    ran(made(ALL_ON, UDP, Verdict.FAIL, frames=1000, bad=9)), culprit=["tx-udp-segmentation"]
)


def test_it_shows_the_chosen_cell_and_those_of_the_same_culprit() -> None:
    shown = reproduction([failing(), OTHER], [failing(), OTHER])
    assert shown is not None
    assert not_shown(failing(), shown) == ""
    assert not_shown(replace(OTHER, culprit=[TNL_CSUM]), shown) == ""
    assert f"sends the traffic of {failing().id}" in not_shown(OTHER, shown)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"direction": "receive"}, "wrong about what it receives"),
        ({"tunnel": False}, "here there is none"),
    ],
)
def test_other_kinds_of_faults(changed: dict[str, str], why: str) -> None:
    row = replace(failing(), flow=replace(failing().flow, **changed))  # type: ignore[arg-type]
    shown = reproduction([row], [row])
    assert shown is None
    assert why in not_shown(row, shown)


def test_loss_is_shown_where_no_frame_is_wrong() -> None:
    lost = replace(failing(), verdict="LOSS", bad=0, lost=250, frames=750)
    shown = reproduction([lost], [lost])
    assert shown is not None
    assert (shown.loss, shown.exact, shown.cell) == (0.25, True, lost.id)
    assert not_shown(lost, shown) == ""
    wrong = reproduction([lost, OTHER], [lost, OTHER])
    assert wrong is not None
    assert (wrong.loss, wrong.cell) == (0.0, OTHER.id)
    assert "frames are lost" in not_shown(lost, wrong)


def test_frames_that_were_refused_are_not_shown() -> None:
    none = replace(failing(), verdict="LOSS", bad=0, lost=0)
    assert "frames are lost or refused" in not_shown(none, reproduction([none], [none]))
