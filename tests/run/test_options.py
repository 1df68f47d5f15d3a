"""The pytest plugin without a lab: silent unless it is used, clear if its options are wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from qualification import cases

CASES = str(Path(cases.__file__).parent)

TOPOLOGY = """
version: 1
hosts:
  alpha: {ssh: {address: 192.0.2.1}, nics: {p: {interface: p0, underlay: [198.18.0.1/24]}}}
  bravo: {ssh: {address: 192.0.2.2}, nics: {p: {interface: p0, underlay: [198.18.0.2/24]}}}
pairs:
  only: {dut: alpha.p, peer: bravo.p}
"""

UNUSED = """
import sys

def test_nothing_is_imported_or_registered(pytestconfig):
    assert pytestconfig.pluginmanager.hasplugin("vxqual")
    for name in ("vxqual-controller", "vxqual-worker", "vxqual-fixtures"):
        assert not pytestconfig.pluginmanager.hasplugin(name)
    heavy = {"qualification.run", "qualification.remote", "paramiko", "pydantic", "scapy", "scipy"}
    assert not heavy & sys.modules.keys()

def test_a_cell_of_somebody_else(cell):
    assert cell == 7
"""


@pytest.fixture
def topology(pytester: pytest.Pytester) -> Path:
    return pytester.makefile(".yaml", lab=TOPOLOGY)


def usage_error(result: pytest.RunResult, what: str) -> None:
    """Exit 4 and one message, whatever stream it is on."""
    said = "\n".join(result.outlines + result.errlines)
    assert result.ret == pytest.ExitCode.USAGE_ERROR, said
    assert said.count(what) == 1, said
    assert "Traceback" not in said
    assert "INTERNALERROR" not in said


@pytest.mark.parametrize("workers", ["0", "1"])
def test_without_a_topology_nothing_happens(pytester: pytest.Pytester, workers: str) -> None:
    pytester.makeconftest("import pytest\n\n@pytest.fixture\ndef cell():\n    return 7\n")
    pytester.makepyfile(UNUSED)
    result = pytester.runpytest_subprocess("-p", "no:allure_pytest", "-n", workers)
    result.assert_outcomes(passed=2)
    assert "vxqual:" not in result.stdout.str()
    assert not (pytester.path / "out").exists()


@pytest.mark.parametrize(
    "args",
    [
        (CASES,),
        (CASES, "-n", "0"),
        (CASES, "-n", "2"),
        (CASES, "-n", "auto"),
        (f"{CASES}/test_1_controls.py::test_control",),
        ("--pyargs", "qualification.cases"),
    ],
)
def test_the_cases_say_what_they_need(pytester: pytest.Pytester, args: tuple[str, ...]) -> None:
    result = pytester.runpytest_subprocess(*args)
    usage_error(result, "vxqual's cases need a lab: give --vx-topology FILE")


def test_the_help_has_a_group_of_ours(pytester: pytest.Pytester) -> None:
    text = pytester.runpytest_subprocess("--help").stdout.str()
    group = text.partition("vxqual: qualify NICs for VXLAN checksum offload:")[2]
    group = re.split(r"\n(?=\S)", group)[0]
    options = re.findall(r"^  (--vx-[\w-]+)", group, re.MULTILINE)
    assert options == [
        "--vx-topology", "--vx-plan", "--vx-rate", "--vx-confidence",
        "--vx-pair", "--vx-partial-ok", "--vx-out", "--vx-allure", "--vx-open",
        "--vx-resume", "--vx-store", "--vx-wait",
        "--vx-expectations", "--vx-seed",
        "--vx-kernel", "--vx-modules", "--vx-wire-check", "--vx-symptom",
    ]  # fmt: skip
    for default in ("standard", "1e-3", "0.999", "out", "auto, with plan standard or full"):
        assert f"(default: {default})" in " ".join(group.split())


@pytest.mark.parametrize(
    ("option", "what"),
    [
        ("--vx-rate=0", "argument --vx-rate"),
        ("--vx-rate=1", "argument --vx-rate"),
        ("--vx-rate=2", "argument --vx-rate"),
        ("--vx-rate=abc", "argument --vx-rate"),
        ("--vx-rate=nan", "argument --vx-rate"),
        ("--vx-confidence=1", "argument --vx-confidence"),
        ("--vx-confidence=-0.5", "argument --vx-confidence"),
        ("--vx-plan=huge", "argument --vx-plan"),
        ("--vx-symptom=maybe", "argument --vx-symptom"),
        ("--vx-seed=x", "argument --vx-seed"),
        ("--vx-wait=-1", "argument --vx-wait"),
        ("--vx-wait=inf", "argument --vx-wait"),
        ("--vx-pair=other", "--pair: no pair 'other' in the topology"),
        ("--vx-out=lab.yaml", "results cannot be written to lab.yaml"),
        ("--vx-out=lab.yaml/below", "results cannot be written to lab.yaml/below"),
        ("--vx-out=/proc/1", "results cannot be written to /proc/1"),
        ("--vx-topology=missing.yaml", "missing.yaml: there is no such file"),
    ],
)
@pytest.mark.parametrize("workers", ["0", "auto"])
def test_options_are_checked_before_anything_is_touched(
    pytester: pytest.Pytester, topology: Path, workers: str, option: str, what: str
) -> None:
    result = pytester.runpytest_subprocess(
        CASES, "-n", workers, f"--vx-topology={topology.name}", option
    )
    usage_error(result, what)
