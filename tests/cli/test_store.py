"""The commands of the store as users meet them, and how quickly they start."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict
from qualification.plan.flows import bulk_flows
from qualification.results import matrix
from qualification.results.conclusion import RunOutcome
from qualification.results.index.database import Database, url_of
from qualification.results.index.writing import index
from qualification.results.matrix import Matrix

from ..results.conftest import ALL_ON, TCP, Make, built, campaign, made

VXQUAL = Path(sys.executable).with_name("vxqual")
__all__ = ["campaign"]


def vxqual(*args: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [VXQUAL, *map(str, args)], cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )


@pytest.fixture
def lab(tmp_path: Path, campaign: Make) -> Path:
    """A working directory with two runs in out/, a faulty firmware and a good one."""
    for day, (firmware, bad) in enumerate((("8.30", 210), ("9.20", 0))):
        verdict = Verdict.FAIL if bad else Verdict.PASS
        cell = made(ALL_ON, TCP, verdict, frames=7000, bad=bad)
        outcome = RunOutcome.NOT_QUALIFIED if bad else RunOutcome.QUALIFIED
        results = built(campaign(x710=("i40e", firmware)), [cell], outcome=outcome)
        at = datetime.fromisoformat(results.run.started) + timedelta(days=day)
        run = replace(results.run, id=f"{at:%Y%m%d-%H%M%S}-000000", started=at.isoformat())
        directory = tmp_path / "out" / run.id
        directory.mkdir(parents=True)
        matrix.write(replace(results, run=run), directory / "matrix.json")
    return tmp_path


def test_from_directories_to_answers(lab: Path) -> None:
    done = vxqual("runs", cwd=lab)
    assert done.returncode == 4
    assert "out/runs.sqlite: there is no store\n  next: vxqual import DIR" in done.stderr
    done = vxqual("import", "out", cwd=lab)
    assert (done.returncode, done.stdout) == (0, "runs: 2 new\n")
    assert vxqual("import", "out", cwd=lab).stdout == "runs: 2 there already\n"
    listed = vxqual("runs", cwd=lab).stdout.splitlines()
    assert [line.split()[0] for line in listed] == [
        "run", "20260103-030405-000000", "20260102-030405-000000",
    ]  # fmt: skip
    (run,) = json.loads(vxqual("runs", "--firmware", "8.*", "--json", cwd=lab).stdout)
    assert (run["id"], run["duts"][0]["failed"]) == ("20260102-030405-000000", 1)
    done = vxqual("compare", "20260103", "20260102", cwd=lab)
    assert done.returncode == 1
    assert done.stdout.startswith("REGRESSED: x710 (i40e, firmware 9.20 -> 8.30)")
    assert vxqual("compare", "20260102", "20260103", cwd=lab).returncode == 0
    assert "firmware 8.30: FAILS, 1 of 1 cells" in vxqual("history", "i40e", cwd=lab).stdout
    (found, _) = json.loads(vxqual("history", "--json", cwd=lab).stdout)
    assert found["faults"][0]["cells"] == 1
    done = vxqual("report", "20260103", "--out", "again", cwd=lab)
    assert done.returncode == 0
    assert "note: by the results alone: " in done.stdout, "there is no evidence here"
    (lab / "out" / "20260103-030405-000000" / "matrix.json").rename(lab / "before.json")
    assert (lab / "again" / "matrix.json").read_bytes() == (lab / "before.json").read_bytes()


def test_forms_of_a_stored_run(lab: Path) -> None:
    vxqual("import", "out", cwd=lab)
    done = vxqual("report", "20260103", "--metrics", "nics.prom", cwd=lab)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\nmetrics: nics.prom\n")
    labels = 'driver="i40e",firmware="9.20",host="x710-dut",interface="p0",pair="x710"'
    assert f"vxqual_qualified{{{labels}}} 1.0\n" in (lab / "nics.prom").read_text()
    assert (lab / "nics.prom").stat().st_mode & 0o777 == 0o644
    done = vxqual("report", "20260102", "--junit", "nics.xml", cwd=lab)
    assert (done.returncode, done.stderr) == (0, "")
    assert 'classname="i40e.8_30.x710"' in (lab / "nics.xml").read_text()
    assert vxqual("report", "20260102", "--ocptv", "nics.jsonl", cwd=lab).returncode == 0
    last = json.loads((lab / "nics.jsonl").read_text().splitlines()[-1])
    assert last["testRunArtifact"]["testRunEnd"]["status"] == "COMPLETE"
    done = vxqual("report", "20260102", "--junit", "nowhere/nics.xml", cwd=lab)
    assert (done.returncode, done.stderr.splitlines()[0]) == (
        4,
        "vxqual: nowhere/nics.xml: cannot be written: No such file or directory",
    )
    done = vxqual("report", "20260103", "--metrics", "nics.txt", cwd=lab)
    assert (done.returncode, done.stdout) == (4, "")
    assert "nics.txt: node_exporter reads files that end in .prom alone" in done.stderr


def test_what_is_not_in_the_store_is_said(lab: Path) -> None:
    assert vxqual("import", "out/20260102-030405-000000", cwd=lab).returncode == 0
    (lab / "out" / "20260104-030405-000000").mkdir()  # it ended before it had stored anything
    said = vxqual("runs", cwd=lab).stdout
    assert (
        "note: 20260103-030405-000000 is not in the store: killed, going on, or the store failed"
        in said
    )
    assert said.endswith("  next: vxqual import out\n")
    vxqual("import", "out/20260102-030405-000000", "--store", "lab.sqlite", cwd=lab)
    assert "note" not in vxqual("runs", "--store", "lab.sqlite", cwd=lab).stdout


def test_a_damaged_run_is_named_and_the_others_are_imported(lab: Path) -> None:
    path = lab / "out/20260102-030405-000000/matrix.json"
    path.write_text("{}")
    done = vxqual("import", "out", cwd=lab)
    assert (done.returncode, done.stdout) == (4, "runs: 1 new, 1 unusable\n")
    assert "20260102-030405-000000/matrix.json: is not the matrix of a run" in done.stderr


@pytest.mark.parametrize(
    ("args", "what"),
    [
        (["runs", "--since", "yesterday"], "'yesterday' is no time; write 2026-11-29"),
        (["runs", "--since", "99999999w"], "is no time"),
        (["runs", "--outcome", "FINE"], "'FINE' is not one of"),
        (["import"], "Missing argument 'DIR...'"),
        (["import", "nothing"], "nothing: cannot be read"),
        (["runs", "--store", "nosuch://x"], "this database cannot be used"),
        (["report", "nothing"], "nothing: there is no such directory, and no run of that id"),
        (["compare", "20260102", "nothing"], "there is no such directory, and no run of that id"),
    ],
)
def test_a_users_mistake_is_one_message(lab: Path, args: list[str], what: str) -> None:
    done = vxqual(*args, cwd=lab)
    assert done.returncode == 4
    assert what in done.stderr
    assert "Traceback" not in done.stderr


SLOW = ("pydantic", "scipy", "paramiko", "alembic", "pytest", "scapy")


@pytest.mark.parametrize(
    ("args", "without"),
    [(["--help"], ("sqlalchemy", *SLOW)), (["runs"], SLOW), (["history"], SLOW)],
    ids=["help", "runs", "history"],
)
def test_what_a_command_does_not_need_is_not_imported(
    lab: Path, args: list[str], without: tuple[str, ...]
) -> None:
    vxqual("import", "out", cwd=lab)
    program = (
        "import sys; from qualification.cli import main; "
        f"main({args!r}, standalone_mode=False); print(sorted(set(sys.modules) & set({without!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=lab, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def night(results: Matrix, number: int) -> Matrix:
    at = datetime.fromisoformat(results.run.started) + timedelta(hours=6 * number)
    run = replace(results.run, id=f"{at:%Y%m%d-%H%M%S}-000000", started=at.isoformat())
    return replace(results, run=run)


@pytest.mark.slow
def test_a_thousand_runs_are_listed_and_compared_at_once(
    tmp_path: Path, campaign: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cells(bad: int) -> list[CellRow]:
        flows = bulk_flows(frozenset({4, 6}), 4789)
        rows = [
            made(ALL_ON, flow, Verdict.FAIL, frames=7000, bad=bad + n)
            for n, flow in enumerate(flows)
        ]
        some = [row for row in rows for _ in range(21)][:500]
        return [replace(row, id=f"{row.pair}/set-{n}/{row.flow.id}") for n, row in enumerate(some)]

    database = Database(url_of(tmp_path / "out"))
    for number in range(1000):
        results = built(campaign(x710=("i40e", "8.30")), cells(100 + number % 3 * 200))
        index(database, night(results, number), tmp_path)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "compiled"))

    def seconds(*args: str) -> float:
        """CPU time, which is the time of a command where nobody else uses the machine."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = vxqual(*args, cwd=tmp_path)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0, done.stderr
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(seconds("runs") for _ in range(10)) < 0.3
    compared = [seconds("compare", "20260102-0304", "20260102-0904") for _ in range(10)]
    assert min(compared) < 1.0
