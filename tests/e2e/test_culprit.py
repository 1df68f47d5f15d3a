"""The culprit of the incident, found and proved in a whole run."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser

from qualification.plan.features import TNL_CSUM
from qualification.results.matrix import read
from tests.browser import opened

from .conftest import SMALL, TOPOLOGIES, Persistent, four_only, rows, vxqual

pytestmark = pytest.mark.lab

CELLS = "outer4-csum/inner4 and (all-on or all-off or all-but-tso or all-but-uso)"
# Flows in a state are not searched.
CELLS += " and not two-ports and not reset and not mtu"


def test_the_incident_has_one_culprit(tmp_path: Path, browser: Browser) -> None:
    topology, out, allure = tmp_path / "incident.yaml", tmp_path / "out", tmp_path / "allure"
    text = four_only((TOPOLOGIES / "incident.yaml").read_text())
    topology.write_text(text.replace("p: 0.03", "p: 0.3"))
    done = vxqual(
        *("run", "-t", topology, *SMALL, "-v", "-n", "2", "--out", out, f"--allure={allure}"),
        *("-k", f"{CELLS} or culprit"),
    )
    assert done.returncode == 1, done.stdout
    for pair in ("healthy", "faulty"):
        assert re.search(rf"PASSED .*::test_culprit\[{pair}/culprit\]", done.stdout), done.stdout

    cells = rows(out)
    failing = {id_ for id_, cell in cells.items() if cell["verdict"] == "FAIL"}
    assert len(failing) >= 4
    for id_, cell in cells.items():
        assert cell["culprit"] == ([TNL_CSUM] if id_ in failing else None), cell
    assert read(out / "latest/matrix.json").mitigation == {"faulty": [TNL_CSUM]}

    # Crafted packets, and traffic under load, get the culprit of bulk traffic of their kind.
    flows = {id_: cells[id_]["flow"] for id_ in failing}
    searched = [id_ for id_, flow in flows.items() if not flow["packet_set"] and not flow["load"]]
    said = done.stdout[done.stdout.index("culprits on faulty") :]
    assert f"\n  {TNL_CSUM}: {len(searched)} failing cells of 2 flows\n" in said
    assert re.search(r"proof: none of \d+ frames is wrong with it off, \d+ of \d+ with it", said)
    assert f"\n      ethtool -K port0 {TNL_CSUM} off\n" in said
    assert "culprits on healthy" not in done.stdout

    # Cells that were run in addition to the plan are evidence, too, and not in the matrix.
    entries = [
        json.loads(line) for line in (out / "latest/evidence.jsonl").read_text().splitlines()
    ]
    extra = {entry["id"]: entry["evidence"] for entry in entries if entry["kind"] == "proof"}
    assert not extra.keys() & cells.keys()
    bad = {
        re.sub(r".*#(\w+)-\d+$", r"\1", id_): sum(
            burst["received"]["captured"]["bad"] for burst in evidence["bursts"]
        )
        for id_, evidence in extra.items()
    }
    assert set(bad) == {"search", "off", "on"}
    assert (bad["off"], bad["on"] > 0) == (0, True)

    (result,) = (
        made
        for path in allure.glob("*-result.json")
        if (made := json.loads(path.read_text()))["fullName"] == "faulty/culprit"
    )
    attached = {one["name"]: allure / one["source"] for one in result["attachments"]}
    runs = result["steps"][-1]["steps"]
    assert {step["name"].partition(": ")[0] for step in runs} == set(extra)
    found = json.loads(attached["faulty.culprits.json"].read_text())
    assert found["mitigation"]["off"] == [TNL_CSUM]

    (told,) = (
        made
        for path in allure.glob("*-result.json")
        if (made := json.loads(path.read_text()))["fullName"] == "faulty/outcome"
    )
    incident = told["statusDetails"]["message"] + told["statusDetails"]["trace"]
    for what in (
        *("NOT QUALIFIED: tun, firmware 8.30 0x8000af86, on charlie port0", "outer L4"),
        *(f"culprit {TNL_CSUM}", f"mitigation on charlie: ethtool -K port0 {TNL_CSUM} off"),
    ):
        assert what in incident, incident
    assert re.search(r"frames are wrong \([23]\d(\.\d)? %, ", incident), incident

    # Allure and JUnit lead to the evidence of each cell.
    linked = {
        link["url"]
        for path in allure.glob("*-result.json")
        for link in json.loads(path.read_text()).get("links", ())
    }
    page = (out / "latest").resolve() / "matrix.html"
    at = {id_: f"#at={quote(id_, safe='')}" for id_ in cells}
    assert linked == {f"{page.as_uri()}{place}" for place in at.values()}
    junit = (out / "latest/junit.xml").read_text()
    assert all(f'name="page" value="matrix.html{place}"' in junit for place in at.values())

    tell_the_incident(browser, out / "latest/matrix.html")


def tell_the_incident(browser: Browser, file: Path) -> None:
    """The page of the run says in a browser what was found, and has the evidence of it."""
    with opened(browser, file) as page:
        story = page.inner_text("section.nic.bad")
        for told in (
            *("NOT QUALIFIED", "tun, firmware 8.30 0x8000af86", "charlie port0", "outer L4"),
            *("outer UDP checksum is 0x", f"{TNL_CSUM}: ", "Proof: none of "),
            f"ethtool -K port0 {TNL_CSUM} off",
        ):
            assert told in story, story
        assert re.search(r"frames are wrong \([23]\d(\.\d)? %, ", story), story
        page.click("[data-at='faulty/all-on/outer4-csum/inner4/tcp']")
        evidence = page.inner_text("aside")
        for told in ("noise, outer L4", "outer source port", "outer.Udp.InCsumErrors"):
            assert told in evidence, evidence
        assert page.inner_text("tr.wrong th") == "checksum"


def test_the_search_alone_has_nothing_to_do(lab: Persistent, tmp_path: Path) -> None:
    before = lab.state()
    done = vxqual("run", "-t", lab.topology, *SMALL, "--out", tmp_path, "-k", "culprit")
    assert done.returncode == 5, done.stdout
    assert "1 passed" in done.stdout
    assert lab.state() == before
