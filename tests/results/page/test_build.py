"""From results to what the page shows."""

from __future__ import annotations

from dataclasses import replace

from qualification.judge.outcome import NEVER_RAN
from qualification.judge.verdict import Verdict
from qualification.plan.features import CSUM, TNL, TNL_CSUM, TSO, OffloadSet
from qualification.results.conclusion import RunOutcome
from qualification.results.page.build import RUNNING, PageInput, build
from tests.results.conftest import ALL_OFF, ALL_ON, SPACE, TCP, UDP_SEG, Make, built, made

from .conftest import WRITTEN, example_of, failing, ran


def test_nics_that_fail_come_first_and_tell_their_story(campaign: Make) -> None:
    page = example_of(campaign)
    assert [(nic.pair, nic.outcome) for nic in page.nics] == [
        ("x710", "NOT QUALIFIED"),
        ("e810", "QUALIFIED"),
    ]
    (nic, good) = page.nics
    assert (nic.driver, nic.firmware, nic.kernel) == ("i40e", "8.30 0x8000af86", "6.1.0-28")
    assert [culprit.off for culprit in nic.culprits] == [(TNL_CSUM,)]
    # Its peer is the same NIC, and needs it, too.
    assert [remedy.text for remedy in nic.remedies] == 2 * [f"ethtool -K p0 {TNL_CSUM} off"]
    assert [(fault.cells, fault.verdict) for fault in nic.faults] == [(1, "FAIL")]
    assert (good.culprits, good.remedies, good.faults) == ((), (), ())


def test_what_keeps_a_nic_from_an_answer_is_told_once(campaign: Make) -> None:
    reason = "control plain failed: 3 of 9 frames are wrong"
    rows = [made(ALL_ON, flow, Verdict.UNTRUSTED, reason) for flow in (TCP, UDP_SEG)]
    rows.append(made(ALL_OFF, TCP, Verdict.INCONCLUSIVE, "only 12 frames"))
    results = built(campaign(x710=("i40e", "1")), rows, outcome=RunOutcome.NOT_JUDGED)
    (nic,) = build(PageInput(results, {}, (), WRITTEN)).nics
    told = [(fault.verdict, fault.cells, fault.reason) for fault in nic.faults]
    assert told == [("UNTRUSTED", 2, reason), ("INCONCLUSIVE", 1, "only 12 frames")]


def test_sets_with_the_same_in_effect_stand_together(campaign: Make) -> None:
    """A set by another name, with which the driver turned the same on, is next to its equal."""
    some = OffloadSet(frozenset({TSO, CSUM}), SPACE)
    refused = OffloadSet(frozenset({TNL, TSO, CSUM}), SPACE)
    rows = [ran(made(offloads, TCP, frames=9)) for offloads in (ALL_OFF, some, ALL_ON, refused)]
    rows[3] = replace(rows[3], effective=rows[1].effective)
    page = build(PageInput(built(campaign(x710=("i40e", "1")), rows), {}, (), WRITTEN))
    assert [name for name, _ in page.features] == [TNL_CSUM, TNL, TSO, CSUM]
    assert page.sets[0].id == "all-on"
    assert {one.id for one in page.sets[1:3]} == {some.id, refused.id}
    assert page.sets[1].effects == page.sets[2].effects == ("off", "off", "on", "on")
    assert page.sets[3].id == "all-off"


def test_a_run_that_goes_on_is_told_apart_from_its_results(campaign: Make) -> None:
    waiting = made(ALL_ON, UDP_SEG, Verdict.ERROR, NEVER_RAN)
    good = ran(made(ALL_OFF, TCP, frames=9))
    run = campaign(x710=("i40e", "1"))
    page = build(
        PageInput(
            built(run, [good, waiting], outcome=RunOutcome.NOT_JUDGED), {}, (), WRITTEN, live=True
        )
    )
    assert [cell.ran for cell in page.cells] == [True, False]
    assert (page.run.live, page.run.outcome, page.nics[0].outcome) == (True, RUNNING, RUNNING)
    page = build(PageInput(built(run, [failing(), waiting]), {}, (), WRITTEN, live=True))
    assert page.nics[0].outcome == "NOT QUALIFIED", "that is certain before the end"
    assert page.run.headline == "RUNNING: 2 of 2 cells done, 1 of them fail"
