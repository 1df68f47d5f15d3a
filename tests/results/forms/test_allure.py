"""A stored run as result files of Allure."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qualification.campaign import Campaign
from qualification.judge.known.expectations import Expectations
from qualification.judge.verdict import Verdict
from qualification.plan.features import TNL_CSUM
from qualification.results import run_directory
from qualification.results.conclusion import RunOutcome
from qualification.results.forms.allure import describing, writing
from qualification.results.matrix import Matrix, read
from qualification.results.run_directory import StoredRun
from qualification.wire.capture_file import read_frames

from ..bundle.conftest import stored
from ..conftest import ALL_OFF, ALL_ON, TCP, UDP, UDP_SEG, Make, built, campaign, made
from ..page.conftest import FAILING

__all__ = ["campaign", "stored"]
SENTENCE = (
    "FAIL: 30 of 1,000 frames are wrong (3 %, 1.5 % to 5.4 % at 99.9%): outer L4 (30); "
    f"noise, outer L4: random; culprit {TNL_CSUM}"
)


def results(directory: Path) -> dict[str, dict[str, Any]]:
    """The result files of a directory by the full names of their tests."""
    found = [json.loads(path.read_text()) for path in directory.glob("*-result.json")]
    return {one["fullName"]: one for one in found}


def labels(result: dict[str, Any]) -> dict[str, str]:
    return {label["name"]: label["value"] for label in result["labels"]}


def told(steps: list[dict[str, Any]], depth: int = 0) -> list[str]:
    return [
        line
        for step in steps
        for line in (
            f"{'  ' * depth}{step['status']} {step['name']}",
            *told(step.get("steps", []), depth + 1),
        )
    ]


@pytest.fixture
def written(stored: Path, tmp_path: Path) -> Path:
    """The result files of a run in which a NIC fails."""
    run = run_directory.read(stored)
    writing.write(read(stored / "matrix.json"), run, tmp_path / "allure", {})
    return tmp_path / "allure"


def test_a_failing_cell_is_told(written: Path, stored: Path) -> None:
    found = results(written)[FAILING]
    assert found["status"] == "failed"
    assert found["statusDetails"]["message"] == SENTENCE
    heals = f"mitigation on alpha: ethtool -K p0 {TNL_CSUM} off"
    trace = found["statusDetails"]["trace"].splitlines()
    assert trace[0] == f"cell: {FAILING}"
    assert trace[1:] == [
        "NIC: alpha p0, i40e, firmware 218.0.166.0",
        "frames: 1,000, wrong 30, lost 0",
        heals,
    ]
    paragraphs = found["description"].split("\n\n")
    assert paragraphs[0].startswith("**FAIL**: 30 of 1,000 frames are wrong")
    assert paragraphs[1] == "i40e, firmware 218.0.166.0, kernel 6.1.0-28, on alpha"
    assert "culprit: tx-udp\\_tnl-csum-segmentation" in paragraphs

    wanted = {
        "parentSuite": "i40e 8086:1572",
        "suite": "firmware 218.0.166.0, x710",
        "subSuite": "all-on",
        "epic": "i40e",
        "feature": "all-on",
        "story": "outer4-csum/inner4/tcp",
        "driver": "i40e",
        "firmware": "218.0.166.0",
        "nic": "i40e 8086:1572",
        "offload_set": "all-on",
        "pair": "x710",
        "verdict": "FAIL",
        "culprit": TNL_CSUM,
    }
    assert wanted.items() <= labels(found).items()
    parameters = {one["name"]: one for one in found["parameters"]}
    same = {name: one["value"] for name, one in parameters.items() if "excluded" not in one}
    assert same == {
        "NIC": "i40e 8086:1572",
        "pair": "x710",
        "offload set": "all-on",
        "flow": "outer4-csum/inner4/tcp",
    }
    for name in ("firmware", "kernel", "wrong", "frames", "rate"):
        assert parameters[name]["excluded"] is True
    assert parameters["rate"]["value"] == "3 % (1.53 % to 5.2 %)"

    (link,) = found["links"]
    page = (stored / "matrix.html").as_uri()
    assert link["url"] == f"{page}#at=x710%2Fall-on%2Fouter4-csum%2Finner4%2Ftcp"


def test_a_cell_has_its_steps_and_its_evidence(written: Path) -> None:
    found = results(written)[FAILING]
    lines = told(found["steps"])
    assert lines[:3] == [
        "passed controls of x710",
        "  passed plain: it is clean",
        "passed bursts: 1",
    ]
    assert lines[3].startswith("  passed 1,000 frames in 0.1 s, of which the kernel left 1,000 che")
    assert lines[4] == "passed comparison of what was submitted and what was seen"
    assert lines[6].startswith(
        "  passed wrong layers: outer L4 (30); the first: outer UDP checksum"
    )
    assert lines[7] == "  passed counters of the peer: outer.Udp.InCsumErrors 30"
    assert lines[8:] == [
        "failed judgement: FAIL",
        "  passed a PASS excludes a rate of 0.001 with confidence 0.999",
        f"  failed {SENTENCE}",
    ]

    base = FAILING.replace("/", "_")
    files = {one["name"]: (one["type"], written / one["source"]) for one in found["attachments"]}
    assert list(files) == [
        *(f"{base}.txt", f"{base}.evidence.json", f"{base}.pcapng"),
        *(f"{base}.right.pcapng", f"{base}.submitted.pcapng"),
    ]
    kind, text = files[f"{base}.txt"]
    assert (kind, text.read_text().splitlines()[0]) == ("text/plain", SENTENCE)
    kind, evidence = files[f"{base}.evidence.json"]
    assert (kind, len(json.loads(evidence.read_text())["bursts"])) == ("application/json", 1)
    kind, capture = files[f"{base}.pcapng"]
    assert kind == "application/x-pcapng"
    assert len(list(read_frames(capture))) == 3
    assert capture.stat().st_mode & 0o777 == 0o600


def test_the_nic_has_tests_of_its_own(written: Path) -> None:
    found = results(written)
    assert {name: one["status"] for name, one in found.items() if name != FAILING} == {
        "x710/all-on/outer4-csum/inner4/udp": "passed",
        "x710/control/plain": "passed",
        "x710/culprit": "passed",
        "x710/outcome": "failed",
    }
    outcome = found["x710/outcome"]
    headline = "NOT QUALIFIED: i40e, firmware 218.0.166.0, on alpha p0"
    assert outcome["statusDetails"]["message"] == headline
    assert told(outcome["steps"]) == [
        f"failed {SENTENCE} ({FAILING})",
        f"passed mitigation on alpha: ethtool -K p0 {TNL_CSUM} off",
    ]
    culprit = found["x710/culprit"]
    assert culprit["description"] == "culprit: tx-udp\\_tnl-csum-segmentation"
    assert f"passed {TNL_CSUM}: 1 failing cells" in told(culprit["steps"])
    assert "  passed none of 1,000 is wrong" in told(culprit["steps"])


def test_a_second_call_writes_the_same_and_nothing_of_an_earlier_run_stays(
    written: Path, stored: Path
) -> None:
    before = {path.name: path.read_bytes() for path in written.iterdir()}
    (written / "of-another-tool-result.json").write_text("{}")
    run, rows = run_directory.read(stored), read(stored / "matrix.json")
    writing.write(rows, run, written, {})
    after = {path.name: path.read_bytes() for path in written.iterdir()}
    assert after.pop("of-another-tool-result.json") == b"{}"
    assert after == before
    writing.write(replace(rows, run=replace(rows.run, id="20270101-000000-1")), run, written, {})
    others = {path.name for path in written.glob("vxqual-*")}
    assert others
    assert not others & before.keys()


def test_results_alone_have_no_evidence_and_the_same_names(
    written: Path, stored: Path, tmp_path: Path
) -> None:
    rows = read(stored / "matrix.json")
    writing.write(rows, None, tmp_path / "alone", {})
    found = results(tmp_path / "alone")
    assert set(found) < set(results(written))
    assert [one["name"] for one in found[FAILING]["attachments"]] == [
        f"{FAILING.replace('/', '_')}.txt"
    ]
    assert found[FAILING]["historyId"] == results(written)[FAILING]["historyId"]


def every_verdict(run: Campaign) -> Matrix:
    shapes = [(offloads, flow) for offloads in (ALL_ON, ALL_OFF) for flow in (TCP, UDP, UDP_SEG)]
    shapes += [(ALL_ON, replace(flow, inner=6)) for flow in (TCP, UDP, UDP_SEG)]
    cells = [
        made(offloads, flow, verdict, "a reason", frames=9000)
        for verdict, (offloads, flow) in zip(Verdict, shapes, strict=True)
    ]
    return built(run, cells, outcome=RunOutcome.NOT_QUALIFIED)


def test_each_verdict_has_a_status_and_a_category(campaign: Make) -> None:
    matrix = every_verdict(campaign(x710=("i40e", "8.30")))
    found = {
        labels(one)["verdict"]: one
        for test in writing.tests(matrix, None)
        for one in [json.loads(writing.document(matrix, test))]
    }
    assert {verdict: one["status"] for verdict, one in found.items()} == {
        "PASS": "passed",
        "FAIL": "failed",
        "LOSS": "failed",
        "INCONCLUSIVE": "broken",
        "UNTRUSTED": "broken",
        "ERROR": "broken",
        "NOT EXERCISED": "skipped",
        "UNSUPPORTED": "skipped",
        "KNOWN": "skipped",
        "NOT QUALIFIED": "failed",
    }
    assert [v for v, one in found.items() if one["statusDetails"].get("known")] == ["KNOWN"]
    named = {
        rule["name"].partition(":")[0]: rule["messageRegex"]
        for rule in describing.categories()
        if "messageRegex" in rule
    }
    assert set(named) == {str(verdict) for verdict in Verdict} - {"PASS"}
    for verdict, rule in named.items():
        assert found[verdict]["statusDetails"]["message"].startswith(rule.removesuffix(".*"))


@settings(max_examples=20)
@given(
    firmwares=st.lists(st.text(min_size=1), min_size=2, max_size=2, unique=True),
    kernel=st.text(),
)
def test_a_cell_goes_on_under_another_firmware_and_kernel(
    firmwares: list[str], kernel: str
) -> None:
    histories = []
    for firmware in firmwares:
        matrix = every_verdict(campaign.__wrapped__()(x710=("i40e", "8")))  # type: ignore[attr-defined]
        nics = tuple(replace(nic, firmware=firmware, kernel=kernel) for nic in matrix.nics)
        matrix = replace(matrix, nics=nics)
        documents = [
            json.loads(writing.document(matrix, test)) for test in writing.tests(matrix, None)
        ]
        cases = {one["testCaseId"] for one in documents}
        assert len(cases) == len(documents), "each test is one of its own"
        assert len({one["historyId"] for one in documents}) == len(documents)
        histories.append({one["fullName"]: one["historyId"] for one in documents})
    assert histories[0] == histories[1]


def test_another_nic_model_is_another_history(campaign: Make) -> None:
    ids = []
    for driver in ("i40e", "ice"):
        matrix = every_verdict(campaign(x710=(driver, "8.30")))
        test = next(writing.tests(matrix, None))
        ids.append(json.loads(writing.document(matrix, test))["historyId"])
    assert ids[0] != ids[1]


def test_a_known_fault_leads_to_its_issue(stored: Path, tmp_path: Path) -> None:
    known = Expectations.model_validate(
        {
            "version": 1,
            "known": {
                "bug-7": {
                    "driver": "i40e",
                    "firmware": "*",
                    "flow": "*",
                    "reason": "it is known",
                    "link": "https://example.net/bug/7",
                    "expires": "2027-01-31",
                }
            },
        }
    )
    run: StoredRun = run_directory.read(stored)
    run = replace(run, campaign=replace(run.campaign, expectations=known))
    matrix = read(stored / "matrix.json")
    cells = tuple(
        replace(cell, verdict=Verdict.KNOWN, expectation="bug-7") if cell.id == FAILING else cell
        for cell in matrix.cells
    )
    writing.write(replace(matrix, cells=cells), run, tmp_path / "allure", {})
    found = results(tmp_path / "allure")[FAILING]
    assert found["status"] == "skipped"
    assert found["links"][0] == {
        "type": "issue",
        "url": "https://example.net/bug/7",
        "name": "bug-7",
    }


def test_what_describes_the_run_as_a_whole(campaign: Make, tmp_path: Path) -> None:
    run = campaign(x710=("i40e", "8.30\nverdict=PASS\x1b"), e810=("ice", "4.40 0x8000"))
    writing.write(built(run, [made(ALL_ON, TCP)]), None, tmp_path / "not" / "there", {})
    lines = (tmp_path / "not/there/environment.properties").read_text().splitlines()
    assert lines == [
        "vxqual=0.1.0",
        "run=20260102-030405-6",
        "outcome=QUALIFIED",
        "plan=quick",
        "topology=lab.yaml",
        "seed=7",
        "rate=0.001",
        "confidence=0.999",
        "x710.driver=i40e",
        r"x710.firmware=8.30\nverdict=PASS\x1b",
        "x710.pci_id=8086:1572",
        "x710.kernel=6.1.0-28",
        "e810.driver=ice",
        "e810.firmware=4.40 0x8000",
        "e810.pci_id=8086:1572",
        "e810.kernel=6.1.0-28",
    ]
    executor = json.loads((tmp_path / "not/there/executor.json").read_text())
    assert (executor["name"], executor["buildName"]) == ("vxqual", "20260102-030405-6")
    script = (tmp_path / "not/there/allurerc.mjs").read_text()
    assert '"id": "i40e"' in script
    assert '"id": "ice"' in script


@pytest.mark.parametrize(
    ("environ", "executor"),
    [
        (
            {
                "GITLAB_CI": "true",
                "CI_PROJECT_URL": "https://git.example/nics",
                "CI_PIPELINE_IID": "12",
                "CI_PIPELINE_ID": "4711",
                "CI_JOB_NAME": "qualify",
                "CI_JOB_URL": "https://git.example/nics/-/jobs/9",
            },
            {
                "name": "GitLab CI",
                "type": "gitlab",
                "url": "https://git.example/nics",
                "buildOrder": 12,
                "buildName": "qualify #4711",
                "buildUrl": "https://git.example/nics/-/jobs/9",
            },
        ),
        (
            {
                "GITHUB_ACTIONS": "true",
                "GITHUB_SERVER_URL": "https://github.example",
                "GITHUB_REPOSITORY": "lab/nics",
                "GITHUB_WORKFLOW": "nightly",
                "GITHUB_RUN_NUMBER": "12",
                "GITHUB_RUN_ID": "4711",
            },
            {
                "name": "GitHub Actions",
                "type": "github",
                "url": "https://github.example/lab/nics",
                "buildOrder": 12,
                "buildName": "nightly #12",
                "buildUrl": "https://github.example/lab/nics/actions/runs/4711",
            },
        ),
        (
            {
                "JENKINS_URL": "https://ci.example/",
                "JOB_NAME": "nics",
                "BUILD_NUMBER": "12",
                "BUILD_URL": "javascript:alert(1)",
            },
            {
                "name": "Jenkins",
                "type": "jenkins",
                "url": "https://ci.example/",
                "buildOrder": 12,
                "buildName": "nics #12",
            },
        ),
        ({"GITLAB_CI": "true"}, {"name": "GitLab CI", "type": "gitlab", "buildName": "a-run"}),
    ],
)
def test_a_ci_is_the_executor(environ: dict[str, str], executor: dict[str, Any]) -> None:
    assert describing.executor("a-run", environ) == {"reportName": "vxqual a-run", **executor}
