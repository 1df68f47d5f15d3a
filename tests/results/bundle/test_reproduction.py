"""Which fault the reproducer shows, and which cells it says nothing of."""

from __future__ import annotations

from dataclasses import replace

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


def test_plain_traffic_is_not_shown() -> None:
    row = replace(failing(), flow=replace(failing().flow, tunnel=False))
    assert reproduction([row], [row]) is None
    assert "here there is none" in not_shown(row, None)


def test_what_a_nic_receives_is_shown_where_it_sends_rightly() -> None:
    requested = {"rx-checksum": True, "tx-checksum-ip-generic": False}
    flow = replace(failing().flow, direction="receive")
    row = replace(failing(), id="x710/rx", flow=flow, requested=requested, culprit=["rx-checksum"])
    shown = reproduction([row], [row])
    assert shown is not None
    assert (shown.receives, shown.cell, shown.loss) == (True, row.id, 0.0)
    assert (shown.features, shown.culprit) == ({"rx-checksum": True}, ("rx-checksum",))
    assert not_shown(row, shown) == ""
    assert "need not show" in not_shown(replace(row, id="x710/rx2"), shown)
    assert "wrong about what it sends" in not_shown(failing(), shown)
    sends = reproduction([row, failing()], [row, failing()])
    assert sends is not None
    assert not sends.receives
    assert "wrong about what it receives" in not_shown(row, sends)


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
