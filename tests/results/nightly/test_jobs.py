"""The jobs of reports/nightly/: what their own linters say, and nightly.sh for real."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from qualification.cli.init.nightly import FILES

BIN = Path(sys.executable).parent
JOBS = Path(__file__).resolve().parents[3] / "reports/nightly"
SCRIPT = JOBS / "nightly.sh"


def lint(*args: str | Path) -> None:
    done = subprocess.run(args, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_script_is_clean_to_shellcheck() -> None:
    lint(BIN / "shellcheck", "--enable=all", "--exclude=SC2250,SC2312", SCRIPT)


@pytest.mark.parametrize(
    ("name", "schema"),
    [("gitlab-ci.yml", "vendor.gitlab-ci"), ("github-actions.yml", "vendor.github-workflows")],
)
def test_a_ci_job_is_valid_to_its_schema(name: str, schema: str) -> None:
    lint(BIN / "check-jsonschema", "--builtin-schema", schema, JOBS / name)


def test_the_workflow_is_safe_to_zizmor() -> None:
    lint(BIN / "zizmor", "--offline", "--no-progress", JOBS / "github-actions.yml")


def test_the_units_are_valid_to_systemd(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    assert analyze is not None, "scripts/setup --dev installs it"
    units = [shutil.copy(JOBS / name, tmp_path / name) for name in FILES["systemd"]]
    done = subprocess.run(
        [analyze, "verify", "--man=no", *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    lint(analyze, "calendar", "*-*-* 01:17")
    assert "OnCalendar=*-*-* 01:17\n" in (JOBS / "vxqual-nightly.timer").read_text()


def test_the_jenkinsfile_is_a_declarative_pipeline() -> None:
    """Jenkins' own linter needs a Jenkins; this holds the form that its documentation demands."""
    text = re.sub(r"//.*", "", (JOBS / "Jenkinsfile").read_text())
    found: dict[str, set[str]] = {}
    inside: list[str] = []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line == "}":
            inside.pop()
        elif line.endswith("{"):
            name = line.removesuffix("{").strip()
            found.setdefault("/".join(inside), set()).add(name)
            inside.append(name)
        else:
            found.setdefault("/".join(inside), set()).add(re.split(r"[ (]", line)[0])
            assert line.count("{") == line.count("}"), line
            assert line.count("'") % 2 == 0, line
    assert inside == []
    assert found[""] == {"pipeline"}
    top = {"agent", "triggers", "options", "environment", "stages", "post"}
    assert found["pipeline"] == top
    assert found["pipeline/stages/stage('Qualify')"] == {"steps"}
    assert found["pipeline/post/always"] == {"junit", "archiveArtifacts"}


@pytest.mark.slow
def test_the_jenkinsfile_is_groovy() -> None:
    groovy = shutil.which("npm-groovy-lint")
    if groovy is None:
        pytest.skip("npm-groovy-lint is a package of npm, and needs Java")
    only = ("--noserver", "--parse", "--failon", "error")
    lint(groovy, *only, "--path", JOBS, "--files", "**/Jenkinsfile")


@pytest.mark.parametrize("kind", FILES)
def test_every_job_runs_the_script_and_keeps_its_report(kind: str) -> None:
    said = "".join((JOBS / name).read_text() for name in FILES[kind])
    assert re.search(r"\bsh \S*nightly\.sh \S*my-lab\.yaml \S*policy\.yaml", said)
    assert "vxqual-report" in said or kind == "systemd"
    assert "VXQUAL_STORE" in said or kind == "systemd"
    for name in ("gitlab-ci.yml", "github-actions.yml"):
        assert YAML(typ="safe").load((JOBS / name).read_text())


def night(place: Path, *args: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("VXQUAL_")}
    return subprocess.run(
        ["sh", SCRIPT, *args],
        cwd=place,
        env={**clean, "PATH": f"{BIN}:{os.environ['PATH']}", **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=540,
    )


def test_a_night_without_a_run_judges_no_other_run(tmp_path: Path) -> None:
    (tmp_path / "out/20260102-030405-000000").mkdir(parents=True)
    (tmp_path / "vxqual-report").mkdir()
    (tmp_path / "vxqual-report/summary.md").write_text("of the night before")
    done = night(tmp_path, "lab.yaml", "policy.yaml", VXQUAL_NOTIFY="nonsense")
    assert done.returncode == 4
    assert "lab.yaml: there is no such file" in done.stderr
    assert "URL 1 of 1" in done.stderr, "it tries to tell people"
    assert list((tmp_path / "vxqual-report").iterdir()) == []


def test_it_says_how_it_is_called(tmp_path: Path) -> None:
    done = night(tmp_path, "lab.yaml")
    assert (done.returncode, done.stderr) == (
        4,
        "usage: sh nightly.sh TOPOLOGY POLICY [OPTION...]\n",
    )


@pytest.mark.lab
@pytest.mark.slow
def test_two_nights_on_the_loopback_lab(tmp_path: Path) -> None:
    """A good NIC, then a faulty one under the same name: the second night regresses."""
    (tmp_path / "policy.yaml").write_text("version: 1\nname: a site\nrun: {plan: quick}\n")
    lab, report = tmp_path / "lab.yaml", tmp_path / "vxqual-report"
    text = (JOBS.parents[1] / "topologies/loopback.yaml").read_text()
    some = ("--plan", "quick", "-k", "all-on and outer4-csum and inner4 and tcp and not crafted")
    lab.write_text(text)
    done = night(tmp_path, "lab.yaml", "policy.yaml", *some)
    assert done.returncode == 1, "by the gate: a selection is not the whole plan"
    assert (report / "summary.md").read_text().startswith("# PARTIAL: "), done.stderr
    assert (report / "summary.md").read_text() in done.stdout
    assert (report / "certificate/certificate.json").exists()
    assert "<testsuite" in (report / "nics.xml").read_text()
    (first,) = (path.name for path in report.glob("2*"))
    assert (report / first / "evidence.jsonl").exists()

    lab.write_text(re.sub(r"# (firmwares:|  alpha.port0: \{)", r"\1", text))
    assert "  firmwares:\n" in lab.read_text()
    done = night(tmp_path, "lab.yaml", "policy.yaml", *some, VXQUAL_METRICS="nics.prom")
    assert done.returncode == 1
    assert 'vxqual_outcome{driver="tun"' in (tmp_path / "nics.prom").read_text()
    summary = (report / "summary.md").read_text()
    assert summary.startswith("# NOT QUALIFIED: soft (tun, firmware random-p")
    assert f"## Since run {first}\n\nREGRESSED: soft (tun, firmware good → random-p" in summary
    assert (report / "comparison.md").read_text().startswith("# REGRESSED: ")
    assert first not in [path.name for path in report.glob("2*")]
