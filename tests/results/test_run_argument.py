"""What a RUN argument names, and the results that are found there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from qualification.errors import UsageError
from qualification.judge.verdict import Verdict
from qualification.results import matrix
from qualification.results.conclusion import RunOutcome
from qualification.results.directories import LATEST, RunDirectory
from qualification.results.run_argument import resolve, results
from qualification.results.run_files import MATRIX
from qualification.results.store import Store

from .conftest import ALL_ON, TCP, Make, built, made

NOW = datetime(2026, 11, 29, 5, 33, 15, 482913, tzinfo=UTC)


@pytest.fixture
def out(tmp_path: Path, campaign: Make) -> Path:
    """A directory of two runs with results."""
    out = tmp_path / "out"
    for hour in range(2):
        run = RunDirectory.create(out, NOW + timedelta(hours=hour))
        results = built(campaign(x710=("i40e", f"8.{hour}")), [made(ALL_ON, TCP)])
        matrix.write(results, run.path / MATRIX)
        run.close()
    return out


def firmware(directory: Path) -> str:
    return results(directory).nics[0].firmware


def test_every_name_of_a_run(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new = sorted(path.name for path in out.glob("2*"))
    monkeypatch.chdir(out.parent)
    for name in (out, "out", out / LATEST, out / new, f"out/{new}", new, out / new / MATRIX):
        assert firmware(resolve(name)) == "8.1", name
    for name in (old, out / old):
        assert firmware(resolve(name)) == "8.0", name


def test_a_matrix_alone_is_a_run_with_results(out: Path, tmp_path: Path) -> None:
    """As `vxqual judge --out` writes it."""
    again = tmp_path / "again"
    again.mkdir()
    (again / MATRIX).write_bytes((resolve(out) / MATRIX).read_bytes())
    assert firmware(resolve(again)) == "8.1"


def test_an_id_is_looked_for_where_runs_are_kept(out: Path) -> None:
    (old, _) = sorted(path.name for path in out.glob("2*"))
    assert resolve(old, out) == out / old
    with pytest.raises(UsageError, match=f"{old}: there is no such directory, and no run of that"):
        resolve(old, out.parent / "elsewhere")


@pytest.mark.parametrize("name", ["nothing", "../nothing", "20260101-000000-000000", "a b", ""])
def test_what_is_no_run_is_said_with_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="next: give the directory"):
        resolve(name)


def test_a_file_that_is_no_file_of_a_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").touch()
    with pytest.raises(UsageError, match=r"lab\.yaml: "):
        resolve(tmp_path / "lab.yaml")


def test_a_run_that_was_killed_is_judged_as_far_as_it_came(tmp_path: Path, campaign: Make) -> None:
    run = RunDirectory.create(tmp_path / "out", NOW)
    asked = campaign(x710=("i40e", "8.30"))
    store = Store(run.path)
    store.begin(asked, asked.cells("x710")[:2])
    run.close()
    found = results(resolve(tmp_path / "out"))
    assert found.run.outcome is RunOutcome.INTERRUPTED
    assert {cell.verdict for cell in found.cells} == {Verdict.ERROR}
    assert not (run.path / MATRIX).exists(), "reading writes nothing"
