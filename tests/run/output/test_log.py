"""The log of a run: always written, to the file that was asked for, without secrets."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qualification import __version__, cases

CASES = str(Path(cases.__file__).parent)
LINE = re.compile(
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}[+-]\d{4} main "
    r"(DEBUG  |INFO   |WARNING|ERROR  ) \S+: "
)
TOPOLOGY = """
version: 1
hosts:
  alpha:
    ssh: {address: a, password: "${LAB_PASSWORD}", proxy_command: "false", known_hosts: none}
    nics: {p: {interface: p0, underlay: [198.18.0.1/24]}}
  bravo:
    ssh: {address: b, proxy_command: "false", known_hosts: none}
    nics: {p: {interface: p0, underlay: [198.18.0.2/24]}}
pairs:
  only: {dut: alpha.p, peer: bravo.p}
"""


@pytest.fixture
def unreachable(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A topology whose hosts cannot be reached."""
    monkeypatch.setenv("LAB_PASSWORD", "open-sesame")
    pytester.path.joinpath("none").touch()
    return pytester.makefile(".yaml", lab=TOPOLOGY)


def qualify(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    return pytester.runpytest_subprocess(CASES, "--vx-topology=lab.yaml", *args)


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_run_that_could_not_begin_is_explained(
    pytester: pytest.Pytester, unreachable: Path, workers: str
) -> None:
    for _ in range(2):  # each run has a log of its own
        assert qualify(pytester, "-n", workers, "--vx-out=out").ret == 10
    assert len(list(pytester.path.glob("out/2*/vxqual.log"))) == 2
    lines = (pytester.path / "out" / "latest" / "vxqual.log").read_text().splitlines()
    text = "\n".join(lines)
    assert LINE.match(lines[0])
    assert text.count(f"vxqual {__version__} starts as process ") == 1
    assert f"--vx-topology=lab.yaml -n {workers} --vx-out=out" in text
    assert "topology lab.yaml: real hosts, pairs only" in text
    assert "a PASS excludes a rate of 0.001 with confidence 0.999" in text
    assert re.search(r"ERROR +vxqual\.run: the lab is not ready, exit code 10: alpha: ", text)
    assert "open-sesame" not in text


@pytest.mark.parametrize("level", ["-v", "-vv"])
def test_the_terminal_shows_the_log_from_vv_on(
    pytester: pytest.Pytester, unreachable: Path, level: str
) -> None:
    said = qualify(pytester, level).stdout.str()
    assert ("INFO vxqual.run: topology lab.yaml: real hosts" in said) == (level == "-vv")


def test_another_file_and_appending(pytester: pytest.Pytester, unreachable: Path) -> None:
    for _ in range(2):
        assert qualify(pytester, "--log-file=logs/mine.log", "--log-file-mode=a").ret == 10
    text = (pytester.path / "logs" / "mine.log").read_text()
    assert text.count("starts as process") == 2
    assert not (pytester.path / "out" / "latest" / "vxqual.log").exists()


def test_options_of_the_user_are_kept(pytester: pytest.Pytester, unreachable: Path) -> None:
    assert qualify(pytester, "--log-file-level=ERROR", "--log-file-format=%(message)s").ret == 10
    text = (pytester.path / "out" / "latest" / "vxqual.log").read_text()
    assert "\nthe lab is not ready, exit code 10: alpha: " in f"\n{text}"
    assert "starts as process" not in text


def test_a_file_that_cannot_be_written(pytester: pytest.Pytester, unreachable: Path) -> None:
    result = qualify(pytester, "--log-file=lab.yaml/x.log")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = result.stdout.str() + result.stderr.str()
    assert said.count("the log cannot be written to lab.yaml/x.log: ") == 1
    assert "Traceback" not in said


def test_listing_writes_no_log(pytester: pytest.Pytester, unreachable: Path) -> None:
    qualify(pytester, "--collect-only")
    assert not (pytester.path / "out").exists()


def test_without_the_logging_plugin(pytester: pytest.Pytester, unreachable: Path) -> None:
    assert qualify(pytester, "-p", "no:logging").ret == 10


def test_runs_that_start_together_have_directories_of_their_own(
    pytester: pytest.Pytester, unreachable: Path
) -> None:
    args = (*pytester._getpytestargs(), CASES, "--vx-topology=lab.yaml", "--vx-out=out")
    runs = [pytester.popen(args, stdin=pytester.CLOSE_STDIN) for _ in range(3)]
    pids = {run.pid for run in runs if run.wait(60) == 10}
    assert len(pids) == 3
    logs = [path.read_text() for path in pytester.path.glob("out/2*/vxqual.log")]
    started = [re.findall(r" starts as process (\d+) ", text) for text in logs]
    assert sorted(started) == sorted([str(pid)] for pid in pids)


def test_invalid_input_leaves_no_directory(pytester: pytest.Pytester, unreachable: Path) -> None:
    for args in (("--vx-pair=x",), ("--vx-wire-check",), ("--log-file=lab.yaml/x.log",)):
        assert qualify(pytester, *args).ret == pytest.ExitCode.USAGE_ERROR
        assert not (pytester.path / "out").exists(), args
