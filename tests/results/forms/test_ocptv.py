"""A stored run as OCP Test & Validation output."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

from qualification.judge.verdict import Verdict
from qualification.results.conclusion import RunOutcome
from qualification.results.forms import ocptv
from qualification.results.matrix import Matrix

from ..conftest import ALL_OFF, ALL_ON, TCP, UDP, UDP_SEG, Make, built, campaign, made

__all__ = ["campaign"]
SPEC = "VXQUAL_OCPTV_SPEC"
"""Names the directory of the specification's schemas, json_spec/output of ocp-diag-core."""


def incident(campaign: Make) -> Matrix:
    """A run with a NIC that fails with one offload set, whose lab fails once, and a good NIC."""
    run = campaign(x710=("i40e", "8.30"), e810=("ice", "4.40"))
    faulty = made(ALL_ON, TCP, Verdict.FAIL, "227 are wrong", frames=7000, bad=227)
    cells = [
        replace(faulty, culprit=["tx-udp_tnl-csum-segmentation"], signature="outer L4 (227)"),
        made(ALL_ON, UDP_SEG, Verdict.KNOWN, "it is known", frames=7000, bad=7),
        made(ALL_ON, UDP, frames=7000),
        made(ALL_OFF, TCP, Verdict.ERROR, "an agent is gone"),
        made(ALL_OFF, UDP, Verdict.UNSUPPORTED, "the NIC has none", pair="e810"),
    ]
    heals = {"x710": ["tx-udp_tnl-csum-segmentation"]}
    return built(run, cells, mitigation=heals, outcome=RunOutcome.NOT_QUALIFIED)


def artifacts(matrix: Matrix) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in ocptv.document(matrix).decode().splitlines()]
    for number, one in zip(count(), found, strict=False):
        assert one["sequenceNumber"] == number
    return found


def steps(found: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The artifacts of each step, by its name; each is started and ended."""
    by_id: dict[str, list[dict[str, Any]]] = {}
    for one in found:
        if "testStepArtifact" in one:
            by_id.setdefault(one["testStepArtifact"]["testStepId"], []).append(
                one["testStepArtifact"]
            )
    for inside in by_id.values():
        assert "testStepStart" in inside[0]
        assert "testStepEnd" in inside[-1]
    return {inside[0]["testStepStart"]["name"]: inside[1:] for inside in by_id.values()}


def test_the_incident_is_told(campaign: Make) -> None:
    found = artifacts(incident(campaign))
    version, start, *_, end = found
    assert version["schemaVersion"] == {"major": 2, "minor": 0}
    begun = start["testRunArtifact"]["testRunStart"]
    assert (begun["name"], begun["parameters"]["run"]) == ("vxqual", "20260102-030405-6")
    dut = begun["dutInfo"]
    assert dut["dutInfoId"] == "x710-dut,e810-dut"
    firmware = [one for one in dut["softwareInfos"] if one.get("softwareType") == "FIRMWARE"]
    assert [one["version"] for one in firmware] == ["8.30", "4.40"]
    x710, _ = dut["hardwareInfos"]
    assert (x710["name"], x710["partNumber"]) == ("i40e p0", "8086:1572")
    assert end["testRunArtifact"]["testRunEnd"] == {"status": "COMPLETE", "result": "FAIL"}
    assert start["timestamp"] == "2026-01-02T03:04:05+00:00"
    assert end["timestamp"] == "2026-01-02T03:14:05+00:00"

    of = steps(found)
    assert list(of) == [
        "x710/all-off",
        "x710/all-on",
        "x710/outcome",
        "e810/all-off",
        "e810/outcome",
    ]
    on = of["x710/all-on"]
    diagnoses = {
        one["diagnosis"]["message"].partition(":")[0]: one["diagnosis"]
        for one in on
        if "diagnosis" in one
    }
    failed = diagnoses["outer4-csum/inner4/tcp"]
    assert (failed["type"], failed["verdict"]) == ("FAIL", "vxqual-fail")
    assert failed["hardwareInfoId"] == x710["hardwareInfoId"]
    assert failed["message"] == (
        "outer4-csum/inner4/tcp: 227 are wrong; outer L4 (227); "
        "culprit tx-udp_tnl-csum-segmentation"
    )
    assert diagnoses["outer4-csum/inner4/udp-seg"]["type"] == "UNKNOWN"
    assert diagnoses["outer4-csum/inner4/udp"]["type"] == "PASS"
    measured = {
        one["measurement"]["name"]: one["measurement"] for one in on if "measurement" in one
    }
    wrong = measured["outer4-csum/inner4/tcp: wrong"]
    assert wrong["value"] == 227
    assert [(v["type"], v["value"]) for v in wrong["validators"]] == [("EQUAL", 0)]
    excluded = measured["outer4-csum/inner4/udp: corruption rate, upper bound"]
    (validator,) = excluded["validators"]
    assert (validator["type"], validator["value"]) == ("LESS_THAN_OR_EQUAL", 0.001)
    assert 0 < excluded["value"] <= 0.001
    assert on[-1]["testStepEnd"] == {"status": "COMPLETE"}

    error, diagnosis, ended = of["x710/all-off"]
    assert error["error"]["message"] == "outer4-csum/inner4/tcp: an agent is gone"
    assert diagnosis["diagnosis"]["type"] == "UNKNOWN"
    assert ended["testStepEnd"] == {"status": "ERROR"}
    assert of["e810/all-off"][-1]["testStepEnd"] == {"status": "SKIP"}
    assert of["x710/outcome"][0]["diagnosis"]["message"] == (
        "i40e, firmware 8.30: NOT QUALIFIED; "
        "mitigation on x710-dut: ethtool -K p0 tx-udp_tnl-csum-segmentation off"
    )


@pytest.mark.parametrize(
    ("outcome", "end"),
    [
        (RunOutcome.QUALIFIED, {"status": "COMPLETE", "result": "PASS"}),
        (RunOutcome.PARTIAL, {"status": "COMPLETE", "result": "NOT_APPLICABLE"}),
        (RunOutcome.INTERRUPTED, {"status": "ERROR", "result": "NOT_APPLICABLE"}),
        (RunOutcome.NO_CELL, {"status": "SKIP", "result": "NOT_APPLICABLE"}),
    ],
)
def test_a_run_ends_as_it_did(campaign: Make, outcome: RunOutcome, end: dict[str, str]) -> None:
    found = artifacts(built(campaign(x710=("i40e", "8.30")), [made(ALL_ON, TCP)], outcome=outcome))
    assert found[-1]["testRunArtifact"]["testRunEnd"] == end


@pytest.mark.slow
def test_it_is_valid_by_the_schema_of_the_specification(campaign: Make) -> None:
    place = os.environ.get(SPEC)
    if place is None:
        pytest.skip(
            "needs the schemas of the specification: clone opencomputeproject/ocp-diag-core, "
            f"then set {SPEC} to its json_spec/output"
        )
    schemas = [json.loads(path.read_text()) for path in Path(place).glob("*.json")]
    assert schemas, f"{SPEC}={place} has no schemas: json_spec/output of ocp-diag-core has them"
    registry = Registry().with_resources(
        [(schema["$id"], Resource.from_contents(schema)) for schema in schemas]
    )
    root = registry.contents("https://github.com/opencomputeproject/ocp-diag-core/output")
    validator = Draft202012Validator(root, registry=registry, format_checker=FormatChecker())
    found = artifacts(incident(campaign))
    for one in found:
        validator.validate(one)
    kinds = {kind for one in found for kind in one.get("testStepArtifact", ())}
    assert {"measurement", "diagnosis", "error", "testStepStart", "testStepEnd"} <= kinds
    found[-1]["testRunArtifact"]["testRunEnd"]["result"] = "FINE"
    assert not validator.is_valid(found[-1]), "this would be seen"
