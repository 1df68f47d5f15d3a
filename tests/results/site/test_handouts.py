"""Certificates and bundles on the site: made by the commands, found again, and laid open."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from qualification.plan.features import TNL_CSUM
from qualification.results import matrix
from qualification.results.bundle.write import write as bundle
from qualification.results.index.database import Database, url_of
from qualification.results.index.handouts import handouts
from qualification.results.index.writing import index
from qualification.results.site.write import Written, write
from qualification.shipped import report_file
from tests.browser import accessibility_faults, opened, screenshot, sideways

VXQUAL = Path(sys.executable).with_name("vxqual")
EVIL = "<script>alert(1)</script>"


def quiet(text: str) -> None:
    """Nothing takes long in these tests."""


def site(store: Path, directory: Path) -> Written:
    return write(store, directory, quiet)


def vxqual(*words: object, code: int = 0) -> str:
    done = subprocess.run(
        [VXQUAL, *words], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == code, done.stderr
    assert "warning" not in done.stderr
    return done.stdout


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_bytes(report_file("policy.example.yaml").read_bytes())
    return path


def indexed(stored: Path) -> Path:
    """The store that has the run."""
    database = Database(url_of(stored.parent))
    index(database, matrix.read(stored / "matrix.json"), stored)
    database.close()
    return stored.parent


def test_what_the_commands_make_is_found_wherever_it_is(
    stored: Path, policy: Path, tmp_path: Path, browser: Browser
) -> None:
    """Written far from the store, found by the store; read in a browser, also on a phone."""
    store = indexed(stored)
    far = tmp_path / "far" / "away"
    vxqual("gate", stored, "--policy", policy, "--out", far / "papers", code=1)
    vxqual("bundle", stored, "--out", far / "vendor")
    target = tmp_path / "site"
    vxqual("site", store, target)
    (certificate,) = (target / "certificate").iterdir()
    (told,) = (target / "bundle").iterdir()
    run = (target / "run" / "20260102-030405-6.html").read_text()
    for path in (certificate, told):
        assert f'href="../{path.parent.name}/{path.name}"' in run
        assert f'href="{path.parent.name}/{path.name}"' in (target / "handouts.html").read_text()
        for width, dark in ((1440, False), (390, True)):
            with opened(browser, path, width=width, dark=dark, ready="main h1") as page:
                screenshot(page, f"site-{path.parent.name}-{width}{'-dark' if dark else ''}")
                assert accessibility_faults(page) == []
                assert sideways(page) == [width, width]
    text = certificate.read_text()
    for said in ("NOT QUALIFIED", "run.plan", "not met", "SHA-256", "218.0.166.0"):
        assert said in text
    text = told.read_text()
    for said in ("218.0.166.0", "30 of 1,000 frames are wrong", TNL_CSUM, "reproduce.py"):
        assert said in text
    (archive,) = (target / "files").rglob("*.zip")
    with zipfile.ZipFile(archive) as packed:
        names = {Path(name).name for name in packed.namelist()}
    assert names == {one.name for one in (far / "vendor").iterdir()}
    for file in (target / "files").rglob("*"):
        assert file.is_dir() or file.stat().st_mode & 0o777 == 0o644


def test_without_a_store_they_are_found_beside_the_runs(stored: Path, tmp_path: Path) -> None:
    """In the run's directory, among the runs, or beside these, and each copy is shown once."""
    out, target = stored.parent, tmp_path / "site"
    assert site(out, target).pages > 0
    assert "There is none yet" in (target / "handouts.html").read_text()
    made, _ = bundle(stored, (), stored / "vendor")
    assert site(out, target).new == 0
    (page,) = (target / "bundle").iterdir()
    run = target / "run" / "20260102-030405-6.html"
    assert page.name in run.read_text(), "the run itself is not new, and its page is written again"
    shutil.copytree(made, out / "copy")
    shutil.copytree(made, tmp_path / "another")
    before = run.read_bytes()
    site(out, target)
    assert [*(target / "bundle").iterdir()] == [page]
    assert run.read_bytes() == before
    assert site(out, target).pages == 0
    for copy in (made, out / "copy", tmp_path / "another"):
        shutil.rmtree(copy)
    site(out, target)
    assert page.name not in run.read_text()


def test_what_others_left_beside_the_runs_is_not_taken(stored: Path, tmp_path: Path) -> None:
    made, _ = bundle(stored, (), tmp_path / "vendor")
    made.chmod(0o777)
    shutil.copy(indexed(stored) / "runs.sqlite", tmp_path / "lab.sqlite")
    for store in (stored.parent, tmp_path / "lab.sqlite"):
        site(store, tmp_path / "site")
        assert not (tmp_path / "site/bundle").exists()
    made.chmod(0o755)
    if os.geteuid() == 0:
        os.chown(made, 12345, 12345)
        site(stored.parent, tmp_path / "site")
        assert not (tmp_path / "site/bundle").exists()
        os.chown(made, 0, 0)
    site(stored.parent, tmp_path / "site")
    assert (tmp_path / "site/bundle").exists()


def test_a_file_that_was_changed_is_not_shown(stored: Path, tmp_path: Path) -> None:
    made, _ = bundle(stored, (), stored / "vendor")
    (made / "report.html").write_text(EVIL)
    site(stored.parent, tmp_path / "site")
    (page,) = (tmp_path / "site/bundle").iterdir()
    assert "no longer that which the bundle had" in page.read_text()
    copied = {file.name for file in (tmp_path / "site/files").rglob("*") if file.is_file()}
    assert copied == {one.name for one in made.iterdir()} - {"report.html"}


@pytest.mark.hostile
@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", ".hidden", "link"])
def test_a_manifest_leads_to_no_other_file(stored: Path, tmp_path: Path, name: str) -> None:
    """Its names are text on the page, and no way out of its directory."""
    (tmp_path / "secret").write_text("secret")
    made, _ = bundle(stored, (), stored / "vendor")
    (made / "link").symlink_to(tmp_path / "secret")
    (made / ".hidden").write_text("secret")
    value = json.loads((made / "bundle.json").read_text())
    digest = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"
    value["files"] = [{"name": name, "octets": 6, "sha256": digest}]
    value["cells"][0]["reason"] = EVIL + "\u202e"
    value["firmware"] = EVIL
    (made / "bundle.json").write_text(json.dumps(value))
    site(stored.parent, tmp_path / "site")
    (page,) = (tmp_path / "site/bundle").iterdir()
    assert EVIL not in page.read_text()
    copied = [file.name for file in (tmp_path / "site/files").rglob("*") if file.is_file()]
    assert copied == ["bundle.json"]


def test_what_is_none_is_named_with_the_reason(stored: Path, tmp_path: Path) -> None:
    for name in ("certificate", "bundle"):
        (stored / name).mkdir()
        (stored / name / f"{name}.json").write_text("{}")
    site(stored.parent, tmp_path / "site")
    text = (tmp_path / "site/handouts.html").read_text()
    assert "is no certificate.json: " in text
    assert "is no bundle.json: " in text


def test_a_store_keeps_one_of_each_directory(stored: Path, policy: Path, tmp_path: Path) -> None:
    """A certificate that is written again takes the place of the old one, and outlives the run's
    row, which is made anew."""
    store = indexed(stored)
    for _ in range(2):
        vxqual("gate", stored, "--policy", policy, "--out", tmp_path / "papers", code=1)
    indexed(stored)
    database = Database(url_of(store))
    (only,) = handouts(database)
    assert (only.kind, only.run) == ("certificate", "20260102-030405-6")
    database.close()
    shutil.rmtree(tmp_path / "papers")
    site(store, tmp_path / "site")
    assert len(list((tmp_path / "site/certificate").iterdir())) == 1, "the store has its content"
    copied = [file.name for file in (tmp_path / "site/files").rglob("*") if file.is_file()]
    assert copied == ["certificate.json"]


def test_a_store_that_fails_costs_no_site(stored: Path, tmp_path: Path) -> None:
    """Beside the runs it is an index, and all that is in their directories is shown without it."""
    (stored.parent / "runs.sqlite").write_text("this is text, and long enough to be a page\n" * 9)
    bundle(stored, (), stored / "vendor")
    told: list[str] = []
    done = write(stored.parent, tmp_path / "site", told.append)
    assert done.runs == 1
    assert len(list((tmp_path / "site/bundle").iterdir())) == 1
    assert [line for line in told if "runs.sqlite knows are left out: " in line]
