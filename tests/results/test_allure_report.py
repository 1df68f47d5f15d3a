"""What Allure gets: the result files that allure-pytest writes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from qualification.results import allure_report
from qualification.wire.capture_file import read_frames

from .conftest import Make

CASE = """
import base64, os
import pytest
from pydantic import TypeAdapter
from qualification.messages.bursts import BadFrame, CaptureResult, Delivered, Received
from qualification.messages.bursts import Sent, Submitted
from qualification.judge.evidence import Burst, Evidence
from qualification.judge.verdict import Verdict
from qualification.plan.cells import Cell
from qualification.results import allure_report
from tests.results.conftest import ALL_ON, TCP, UDP, ends


@pytest.mark.parametrize("cell", [Cell("x710", ALL_ON, TCP)])
def test_fails(cell):
    bad = BadFrame(base64.b64encode(bytes(60)).decode(), ("outer L4",), ("it is wrong",))
    seen = CaptureResult(frames=9, bad=1, samples=(bad,))
    burst = Burst(Sent(Submitted(), 0, True, 0.0, {}), Received(seen, Delivered(), {}))
    evidence = Evidence({"tx-checksum-ip-generic": True}, bursts=(burst,))
    dumped = TypeAdapter(Evidence).dump_python(evidence, mode="json")
    about = ends(firmware=os.environ["FIRMWARE"])
    allure_report.label(about, cell.pair, Verdict.FAIL, "one is wrong")
    allure_report.attach(evidence, dumped)


@pytest.mark.parametrize("cell", [Cell("x710", ALL_ON, UDP)])
def test_untrusted(cell):
    about = ends(firmware=os.environ["FIRMWARE"])
    allure_report.label(about, cell.pair, Verdict.UNTRUSTED, "control <b>plain</b> failed\\x1b")
"""


@dataclass
class Result:
    """The result file of a test, and the folder of its attachments."""

    folder: Path
    result: dict[str, Any]

    @property
    def labels(self) -> dict[str, str]:
        return {label["name"]: label["value"] for label in self.result["labels"]}

    def attachment(self, name: str) -> Path:
        (source,) = (a["source"] for a in self.result["attachments"] if a["name"] == name)
        return self.folder / source


@pytest.fixture
def report(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> Any:
    """`report(firmware)`: the two tests under a firmware, by name."""
    pytester.makepyfile(test_case=CASE)
    monkeypatch.setenv("PYTHONPATH", str(pytestconfig.rootpath))

    def run(firmware: str) -> dict[str, Result]:
        folder = pytester.path / f"allure-{firmware}"
        monkeypatch.setenv("FIRMWARE", firmware)
        pytester.runpytest_subprocess(f"--alluredir={folder}").assert_outcomes(passed=2)
        results = [json.loads(file.read_text()) for file in folder.glob("*-result.json")]
        return {r["name"].partition("[")[0]: Result(folder, r) for r in results}

    return run


def test_labels_attachments_and_history(report: Any) -> None:
    old, new = report("8.30"), report("9.20")
    failed = old["test_fails"]

    wanted = {"driver": "i40e", "firmware": "8.30", "pair": "x710", "verdict": "FAIL"}
    assert wanted.items() <= failed.labels.items()
    assert failed.result["description"] == "one is wrong"
    assert json.loads(failed.attachment("evidence.json").read_text())["bursts"]
    bad = failed.attachment("bad frames")
    assert bad.suffix == ".pcapng"
    assert list(read_frames(bad)) == [(bytes(60), 60)]
    types = {a["name"]: a["type"] for a in failed.result["attachments"]}
    assert types == {"evidence.json": "application/json", "bad frames": "application/x-pcapng"}

    parameters = {p["name"]: p for p in failed.result["parameters"]}
    assert parameters["cell"]["value"] == "x710/all-on/outer4-csum/inner4/tcp"
    assert parameters["firmware"]["excluded"] is True
    assert "8.30" in parameters["firmware"]["value"]

    untrusted = old["test_untrusted"]
    assert untrusted.labels["verdict"] == "UNTRUSTED"
    # Allure renders it as Markdown, in which HTML would be HTML.
    description = r"control &lt;b&gt;plain&lt;/b&gt; failed\\x1b"
    assert untrusted.result["description"] == description
    assert not untrusted.result.get("attachments")

    assert new["test_fails"].labels["firmware"] == "9.20"
    for name, found in old.items():
        assert found.result["historyId"] == new[name].result["historyId"]
    assert failed.result["historyId"] != untrusted.result["historyId"]


def test_a_firmware_adds_no_property(tmp_path: Path, campaign: Make) -> None:
    allure_report.finish(tmp_path, campaign(x710=("i40e", "8.30\nverdict=PASS\x1b")))
    lines = (tmp_path / "environment.properties").read_text().splitlines()
    assert r"x710.firmware=8.30\nverdict=PASS\x1b" in lines
    assert len(lines) == 6


def test_what_describes_the_run_as_a_whole(tmp_path: Path, campaign: Make) -> None:
    folder = tmp_path / "not" / "there"
    allure_report.finish(folder, campaign(x710=("i40e", "8.30"), e810=("ice", "4.40 0x8000")))
    assert (folder / "environment.properties").read_text().splitlines() == [
        "vxqual=0.1.0",
        "run=20260102-030405-6",
        "seed=7",
        "x710.driver=i40e",
        "x710.firmware=8.30",
        "x710.kernel=6.1.0-28",
        "e810.driver=ice",
        "e810.firmware=4.40 0x8000",
        "e810.kernel=6.1.0-28",
    ]
    executor = json.loads((folder / "executor.json").read_text())
    assert executor == {"name": "vxqual", "type": "vxqual", "buildName": "20260102-030405-6"}
