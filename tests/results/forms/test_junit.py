"""A stored run as JUnit XML."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import xmlschema
from hypothesis import given
from hypothesis import strategies as st

from qualification.judge.verdict import Verdict
from qualification.results.conclusion import RunOutcome
from qualification.results.forms import junit
from qualification.results.matrix import Matrix

from ..conftest import ALL_OFF, ALL_ON, TCP, UDP, UDP_SEG, Make, built, campaign, made

__all__ = ["campaign"]
XSD = "testing/example_scripts/junit-10.xsd"
"""Where pytest's source has the schema of Jenkins' xUnit plugin, for its own tests."""


def every_verdict(campaign: Make) -> Matrix:
    """A run with a NIC that ends a cell in each way, and one of which all pass."""
    run = campaign(x710=("i40e", "8.30 0x8000af86 1.2.3"), e810=("ice", "4.40"))
    shapes = [(offloads, flow) for offloads in (ALL_ON, ALL_OFF) for flow in (TCP, UDP, UDP_SEG)]
    ends = [v for v in Verdict if v not in (Verdict.FAIL, Verdict.LOSS, Verdict.PASS)]
    cells = [
        made(offloads, flow, verdict, f"ended as {verdict}")
        for verdict, (offloads, flow) in zip(ends, shapes, strict=True)
    ]
    cells += [
        made(ALL_ON, replace(TCP, inner=6), Verdict.FAIL, "227 are wrong", frames=7000, bad=227),
        made(ALL_ON, replace(UDP, inner=6), Verdict.LOSS, "9 are lost"),
        made(ALL_ON, replace(UDP_SEG, inner=6)),
        made(ALL_ON, TCP, pair="e810", frames=8000),
    ]
    heals = {"x710": ["tx-udp_tnl-csum-segmentation"]}
    return built(run, cells, mitigation=heals, outcome=RunOutcome.NOT_QUALIFIED)


def suites(matrix: Matrix) -> dict[str, ET.Element]:
    root = ET.fromstring(junit.document(matrix))
    assert root.tag == "testsuites"
    for suite in root:
        for name, tag in {"failures": "failure", "errors": "error", "skipped": "skipped"}.items():
            assert int(suite.get(name, "")) == len(suite.findall(f"testcase/{tag}"))
        assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
    for name in ("tests", "failures", "errors"):
        assert int(root.get(name, "")) == sum(int(suite.get(name, "")) for suite in root)
    return {suite.get("name", ""): suite for suite in root}


def test_each_verdict_is_told_as_ci_shows_it(campaign: Make) -> None:
    faulty, healthy = suites(every_verdict(campaign)).values()
    ends = {end.get("type"): (end.tag, end.get("message")) for end in faulty.iterfind("testcase/*")}
    assert {kind: tag for kind, (tag, _) in ends.items()} == {
        "FAIL": "failure",
        "LOSS": "failure",
        "INCONCLUSIVE": "error",
        "UNTRUSTED": "error",
        "ERROR": "error",
        "NOT EXERCISED": "skipped",
        "UNSUPPORTED": "skipped",
        "KNOWN": "skipped",
        "NOT QUALIFIED": "failure",
    }
    assert ends["FAIL"][1] == "FAIL: 227 are wrong"
    (failed,) = faulty.iterfind("testcase[@name='all-on/outer4-csum/inner6/tcp']")
    (failure,) = failed
    assert "frames: 7,000, wrong 227, lost 0\nrate: 0.03243" in (failure.text or "")
    assert {case.get("classname") for case in faulty.iter("testcase")} == {
        "i40e.8_30 0x8000af86 1_2_3.x710"
    }
    (ended,) = faulty.iterfind("testcase[@name='outcome']/failure")
    assert ended.text == (
        "mitigation on x710-dut: ethtool -K p0 tx-udp_tnl-csum-segmentation off\n"
    )
    assert not healthy.findall("testcase/*")
    assert [case.get("name") for case in healthy.iter("testcase")] == [
        "all-on/outer4-csum/inner4/tcp",
        "outcome",
    ]
    properties = {one.get("name"): one.get("value") for one in healthy.iter("property")}
    assert (properties["driver"], properties["firmware"]) == ("ice", "4.40")
    assert properties["outcome"] == "QUALIFIED"


def test_a_run_that_qualifies_nothing_is_not_green(campaign: Make) -> None:
    run = built(campaign(x710=("i40e", "8.30")), [made(ALL_ON, TCP)], outcome=RunOutcome.PARTIAL)
    done = replace(run.run.completeness, planned=500)
    (suite,) = suites(replace(run, run=replace(run.run, completeness=done))).values()
    (error,) = suite.iterfind("testcase[@name='outcome']/error")
    assert error.get("message") == "PARTIAL: 1 of 500 cells of the plan came to a result"


@given(st.text())
def test_no_firmware_breaks_the_file(text: str) -> None:
    results = every_verdict(campaign.__wrapped__())  # type: ignore[attr-defined]
    nics = tuple(replace(nic, firmware=text) for nic in results.nics)
    for suite in suites(replace(results, nics=nics)).values():
        for case in suite.iter("testcase"):
            assert (case.get("classname") or "").count(".") == 2


@pytest.mark.slow
def test_it_is_valid_by_the_schema_of_jenkins(tmp_path: Path, campaign: Make) -> None:
    version = f"pytest=={pytest.__version__}"
    fetch = (sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", ":all:")
    subprocess.run([*fetch, version], cwd=tmp_path, check=True, capture_output=True, timeout=300)
    (archive,) = tmp_path.glob("pytest-*.tar.gz")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    schema = xmlschema.XMLSchema(tmp_path / archive.name.removesuffix(".tar.gz") / XSD)
    path = tmp_path / "junit.xml"
    path.write_bytes(junit.document(every_verdict(campaign)))
    schema.validate(path)
    path.write_text(path.read_text().replace("classname=", "class="))
    assert not schema.is_valid(path), "this would be seen"
