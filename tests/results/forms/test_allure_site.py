"""The site of Allure: made by npm's `allure`, opened in a browser, without analytics."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from qualification.errors import LabError
from qualification.plan.features import TNL_CSUM
from qualification.results import run_directory
from qualification.results.forms.allure import site, writing
from qualification.results.matrix import read

from ..bundle.conftest import stored
from ..conftest import campaign
from ..page.conftest import FAILING

__all__ = ["campaign", "stored"]
VXQUAL = Path(sys.executable).with_name("vxqual")
ALLURE = "allure@3.18.0"
GTAG = """\
    <script async src="https://www.googletagmanager.com/gtag/js?id=G-LNDJ3J7WT0"></script>
    <script>
        window.dataLayer = window.dataLayer || [];
        function gtag(){dataLayer.push(arguments);}
        gtag('js', new Date());
        gtag('config', 'G-LNDJ3J7WT0', {
          "report": "awesome"
        });
    </script>
"""


def report(run: Path, to: Path, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [VXQUAL, "report", run, "--allure", to],
        cwd=to.parent,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def program(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_without_allure_the_result_files_are_there(stored: Path, tmp_path: Path) -> None:
    to = tmp_path / "allure"
    done = report(stored, to, "/nowhere")
    assert done.returncode == 0, done.stderr
    assert f"\nallure: {to}, 4 results\n" in done.stdout
    assert "note: no site: the site needs npm's allure, which is not installed" in done.stdout
    assert "next: npm install --global allure" in done.stdout
    assert len(list(to.glob("*-result.json"))) == 4
    assert not (to / "site").exists()


def test_allure_2_is_refused_and_a_failure_is_told(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    program(programs / "allure", "echo 2.35.1")
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(LabError, match=r"needs Node\.js"):
        site.command()
    program(programs / "node", "")
    with pytest.raises(LabError, match=r"needs Allure 3, and .*/allure is 2\.35\.1"):
        site.command()
    program(programs / "allure", '[ "$1" = --version ] && echo 3.18.0 || { echo no >&2; exit 1; }')
    done = report(stored, tmp_path / "allure", str(programs))
    assert done.returncode == 0
    assert f"note: no site: {programs}/allure generate failed: no\n" in done.stdout


def test_analytics_are_taken_out_or_the_page_is(tmp_path: Path) -> None:
    before, after = "<html><body><script>1</script>\n", "    <script>2</script></body></html>"
    page = tmp_path / "index.html"
    page.write_text(before + GTAG + after)
    site.strip(page)
    assert page.read_text() == before + "    " + after.lstrip()
    page.write_text(
        before + GTAG.replace("<script async src", "<script data-x src='y' src") + after
    )
    site.strip(page)
    assert "googletagmanager" not in page.read_text()
    page.write_text(before + GTAG.replace("<script async src=", "<link href=") + after)
    with pytest.raises(LabError, match="analytics in a form"):
        site.strip(page)
    assert not page.exists()


@pytest.fixture(scope="module")
def allure(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH with npm's allure, which is installed here if it is not installed on the machine."""
    try:
        site.command()
    except LabError:
        pass
    else:
        return os.environ["PATH"]
    if shutil.which("npm") is None:
        pytest.skip(f"needs npm (Debian's package npm), which installs {ALLURE}")
    where = tmp_path_factory.mktemp("npm")
    options = ("--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts")
    command = ("npm", "install", "--prefix", str(where), *options, ALLURE)
    subprocess.run(command, check=True, capture_output=True, timeout=600)
    return f"{where / 'node_modules' / '.bin'}:{os.environ['PATH']}"


@pytest.mark.slow
def test_the_site_tells_the_incident(
    stored: Path, tmp_path: Path, allure: str, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", allure)
    to = tmp_path / "allure"
    writing.write(read(stored / "matrix.json"), run_directory.read(stored), to, {})
    assert site.make(to, site.command()) == to / "site/index.html"
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    context.set_offline(True)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    try:
        page.goto((to / "site/index.html").as_uri())
        tells_the_incident(page)
        assert said == []
        assert not [url for url in asked if not url.startswith(("file:", "data:", "blob:"))]
    finally:
        context.close()


def tells_the_incident(page: Page) -> None:
    page.wait_for_selector("text=outer4-csum/inner4/tcp")
    tree = page.inner_text("body")
    for told in ("i40e 8086:1572", "218.0.166.0", "x710", "all-on", 'Environment: "i40e"'):
        assert told in tree
    page.click("text=outer4-csum/inner4/tcp")
    page.wait_for_selector("text=judgement: FAIL")
    cell = page.inner_text("body")
    heals = f"mitigation on alpha: ethtool -K p0 {TNL_CSUM} off"
    for told in (
        *("i40e, firmware 218.0.166.0", "30 of 1,000 frames are wrong (3 %", "outer L4 (30)"),
        *(f"culprit {TNL_CSUM}", heals, "evidence on the page"),
        f"{FAILING.replace('/', '_')}.pcapng",
    ):
        assert told in cell, cell
    page.go_back()
    page.click("text=Categories >> nth=0")
    page.wait_for_selector("text=FAIL: wrong frames")


@pytest.mark.slow
def test_the_history_goes_on_under_another_firmware(
    stored: Path, tmp_path: Path, allure: str
) -> None:
    to = tmp_path / "allure"
    for firmware in ("218.0.166.0", "219.0.0.0"):
        for path in (stored / "run.json", stored / "matrix.json"):
            path.write_text(path.read_text().replace("218.0.166.0", firmware))
        done = report(stored, to, allure)
        assert f"site: {to}/site/index.html\n" in done.stdout, done.stdout + done.stderr
    points = [json.loads(line) for line in (to / "history.jsonl").read_text().splitlines()]
    assert len(points) == 2
    assert points[0]["testResults"].keys() == points[1]["testResults"].keys()
