"""What `vxqual selftest` expects of the suite, and how it reports what is missing."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from qualification.errors import UsageError
from qualification.judge.verdict import Demand
from qualification.lab.softnic import firmwares
from qualification.plan.cells import receive_cells
from qualification.plan.features import GRO, RULES, TNL_CSUM, FeatureSpace
from qualification.plan.flows import receive_flows
from qualification.selftest.run import EXPECTED_DETECTIONS, FirmwareResult, selftest
from qualification.selftest.table import HEADING, line
from qualification.selftest.trial import PAIR, Trial, TrialResult, judge

CAUGHT = TrialResult({"FAIL": 4, "PASS": 9}, ("a",), {"noise": 4}, ((TNL_CSUM,),), "said", 100, 2.0)


def test_every_fault_has_an_expected_detection_and_no_good_firmware_has() -> None:
    models = firmwares.models()
    assert {model.name for model in models if model.kind == "fault"} == EXPECTED_DETECTIONS.keys()
    for expected in EXPECTED_DETECTIONS.values():
        assert expected.culprits <= RULES.keys()


@pytest.mark.parametrize(
    ("seen", "missing"),
    [
        (CAUGHT, ""),
        (TrialResult({"PASS": 9}), "no FAIL"),
        (TrialResult({"FAIL": 1}, signatures={"constant": 1}), "signature is none of noise"),
        (TrialResult({"FAIL": 1}, signatures={"noise": 1}), "culprit not found"),
        (TrialResult({}, error="no root"), "the lab failed: no root"),
    ],
)
def test_what_is_missing_is_reported(seen: TrialResult, missing: str) -> None:
    assert FirmwareResult("random-p", EXPECTED_DETECTIONS["random-p"], seen).missing == missing


def test_a_good_firmware_is_never_blamed() -> None:
    unclear = TrialResult({"INCONCLUSIVE": 3, "UNSUPPORTED": 2, "PASS": 9})
    assert FirmwareResult("lossy", None, unclear).missing == ""
    for verdict in ("FAIL", "LOSS"):
        blamed = TrialResult({verdict: 1, "PASS": 9}, reason="why")
        assert FirmwareResult("lossy", None, blamed).missing == (
            f"a good firmware has {verdict}: why"
        )
    untrusted = TrialResult({"UNTRUSTED": 1}, reason="control plain: why")
    assert FirmwareResult("lossy", None, untrusted).missing == (
        "a good firmware is not judged: control plain: why"
    )


def test_an_unknown_firmware_is_refused() -> None:
    with pytest.raises(UsageError, match=r"no firmware 'bad'\n  next: known: after-reset, "):
        list(selftest(["bad"], 1, 1, 1))


def test_a_line_is_aligned_with_its_heading() -> None:
    text = line("random-p", CAUGHT.verdicts, CAUGHT.signatures, CAUGHT.culprits, 100, 2.0, "")
    assert text.startswith("random-p         FAIL 4           noise            tx-udp_tnl-csum-seg")
    assert HEADING.index("frames") + len("frames") == text.index(" 100 ") + len(" 100")
    assert line("x", {}, {}, (), 0, 0.0, "no FAIL").endswith("  MISSED: no FAIL")


@pytest.mark.lab
@pytest.mark.slow
def test_a_fault_is_detected_with_its_signature_and_culprit() -> None:
    """Random-p, IPv4 and IPv6, in every cell with all features on."""
    (seen,) = judge(Trial("random-p", {"p": 0.3}, 4789, (1,)), Demand(0.05, 0.9))
    assert seen.error == ""
    assert FirmwareResult("random-p", EXPECTED_DETECTIONS["random-p"], seen).missing == ""
    assert seen.culprits == ((TNL_CSUM,),)
    assert all("-csum" in flow for flow in seen.flows)
    assert PAIR == "trial"


def test_some_cells_are_drawn_anew_with_each_seed() -> None:
    space = FeatureSpace(frozenset({GRO}), driver="tun")
    cells = receive_cells("soft", space, receive_flows((4, 6), 4789))
    trial = Trial("good", {}, 4789, (1, 2), cells=5)
    drawn = {seed: trial.drawn(seed, cells) for seed in (1, 2)}
    assert drawn == {seed: trial.drawn(seed, cells) for seed in (1, 2)}
    assert drawn[1] != drawn[2]
    for some in drawn.values():
        assert [cell for cell in cells if cell in some] == some
        assert len(some) == 5
    assert replace(trial, cells=10_000).drawn(1, cells) == list(cells)
    assert replace(trial, cells=None).drawn(1, cells) == list(cells)


@pytest.mark.lab
@pytest.mark.slow
def test_each_seed_is_told_when_it_is_done() -> None:
    """At a hundredth of the pace the ten seeds of a lab take half an hour."""
    results = selftest(["no-offloads"], 2, 1, 1)
    assert next(results).missing == ""
    begun = time.monotonic()
    (second,) = results
    assert time.monotonic() - begun > second.result.seconds / 2
