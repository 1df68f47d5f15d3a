"""The `vxqual` command as users meet it: help that teaches, exit codes, no tracebacks."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN
from scapy.utils import wrpcap

from qualification import __version__, cli
from qualification.cli.root import MODULES, main
from qualification.errors import EXIT_LAB, EXIT_NOT_QUALIFIED, EXIT_QUALIFIED, EXIT_USAGE

VXQUAL = Path(sys.executable).with_name("vxqual")
LINK = Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02")
INNER = LINK / IP(src="10.0.0.1", dst="10.0.0.2")
TUNNEL = LINK / IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=50000, dport=4789) / VXLAN(vni=7)

COMMANDS = {
    "cases": "0",
    "selftest": "0 1 4",
    "run": "0 1 2 3 4 5 10 11 12",
    "check": "0 4 10",
    "restore": "0 4 10",
    "plan": "0 4 10",
    "judge": "0 1 2 4 5 10 11 12",
    "verify": "0 1 2 4 10",
    "compare": "0 1 4 10",
    "runs": "0 4 10",
    "import": "0 4 10",
    "history": "0 4 10",
    "report": "0 4 10",
    "notify": "0 4 10",
    "gate": "0 1 4 10 13",
    "page": "0 4",
    "site": "0 4 10",
    "bundle": "0 4",
    "init expectations": "0 4",
    "init lab": "0 4",
    "init nightly": "0 4",
    "init policy": "0 4",
    "init topology": "0 4 10",
    "lab up": "0 4 10",
    "lab down": "0",
    "lab status": "0 10",
}


def vxqual(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [VXQUAL, *map(str, args)], capture_output=True, text=True, check=False, timeout=60
    )


def exit_codes(text: str) -> str:
    table = text.partition("Exit codes:")[2]
    return " ".join(re.findall(r"^ +(\d+) +\S", table, re.MULTILINE))


def test_the_help_names_every_command_and_the_exit_codes() -> None:
    done = vxqual("--help")
    assert done.returncode == EXIT_QUALIFIED
    listed = re.findall(r"^  (\w+)  +\S", done.stdout.partition("Commands:")[2], re.MULTILINE)
    assert set(listed) == {name.split()[0] for name in COMMANDS}
    assert exit_codes(done.stdout) == "0 1 2 3 4 5 10 11 12 13"


def test_the_gate_needs_a_policy_and_a_run(tmp_path: Path) -> None:
    for option in (["--pdf"], ["--sign", "key"]):
        said = vxqual("gate", tmp_path, "--policy", "none.yaml", *option).stderr
        assert "--pdf and --sign need --out" in said
    assert "Missing option '--policy'" in vxqual("gate", tmp_path).stderr
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nname: nodes\nrun: {plan: fast}\n")
    done = vxqual("gate", tmp_path, "--policy", path)
    assert done.returncode == EXIT_USAGE
    assert f"{path}:3:13: run.plan: must be 'quick', 'standard' or 'full'" in done.stderr
    path.write_text("version: 1\nname: nodes\n")
    done = vxqual("gate", tmp_path, "--policy", path)
    assert done.returncode == EXIT_USAGE
    assert f"{tmp_path}: has no stored run\n  next: " in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    done = vxqual(*command.split(), "--help")
    assert done.returncode == EXIT_QUALIFIED
    assert exit_codes(done.stdout) == COMMANDS[command]
    options = done.stdout.partition("Options:")[2].partition("Exit codes:")[0]
    for option in re.findall(r"^  (?:-\w, )?(--[\w-]+[^\n]*(?:\n {20,}[^\n]*)*)", options, re.M):
        words = re.sub(r"^--\S+( [A-Z]+(?: RANGE)?\b| \[[^]]*\])?", "", option).split()
        assert len(words) >= 3, f"{command}: {option!r} is not explained"


def test_the_package_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "qualification", "--help"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, vxqual("--help").stdout, "")


def test_a_run_of_the_former_schema_is_refused(tmp_path: Path) -> None:
    run = {"schema": 1, "campaign": {"version": "0.0.9"}, "cells": []}
    (tmp_path / "run.json").write_text(json.dumps(run))
    (tmp_path / "evidence.jsonl").write_text('{"kind": "head", "schema": 1, "run": "x"}\n')
    done = vxqual("judge", tmp_path)
    assert (done.returncode, done.stdout) == (EXIT_USAGE, "")
    assert done.stderr == (
        f"vxqual: {tmp_path}/run.json: was written by vxqual 0.0.9 with schema 1, and this vxqual "
        f"({__version__}) reads schema 3\n  next: judge it with the vxqual that wrote it, or "
        "qualify the NIC again with this one\n"
    )


def test_the_help_of_a_run_explains_markers_and_the_log() -> None:
    said = vxqual("run", "--help").stdout
    for option in ("-m 'not crafted'", "-m receive", "-vv", "--log-file=FILE"):
        assert f"\n    {option} " in said


def test_the_version() -> None:
    assert re.fullmatch(r"vxqual, version \d+\.\d+\.\d+\n", vxqual("--version").stdout)


MISTAKES = [
    (["bogus"], "No such command 'bogus'"),
    (["run"], "Missing argument 'TOPOLOGY'"),
    (["run", "-k", "all-on"], "Missing argument 'TOPOLOGY'"),
    (["run", "there.yaml", "-t", "missing.yaml"], "given twice: missing.yaml and there.yaml"),
    (["run", "missing.yaml", "-k", "all-on"], "missing.yaml: there is no such file"),
    (["run", "-k", "all-on", "missing.yaml"], "missing.yaml: there is no such file"),
    (["run", "there.yaml", "--plann", "quick"], "no such option '--plann'; did you mean '--plan'?"),
    (["run", "there.yaml", "-k"], "option -k: expected one argument"),
    (["run", "there.yaml", "--expectation=x"], "'--expectation'; did you mean '--expectations'?"),
    (["run", "there.yaml", "--wholly-unknown"], "no such option '--wholly-unknown'\n  next:"),
    (["run", "-t", "there.yaml", "--rate", "0"], "--rate"),
    (["run", "-t", "there.yaml", "--rate", "1"], "--rate"),
    (["run", "-t", "there.yaml", "--rate", "abc"], "--rate"),
    (["run", "-t", "there.yaml", "--confidence", "2"], "--confidence"),
    (["run", "-t", "there.yaml", "--plan", "huge"], "--plan"),
    (["run", "-t", "there.yaml", "--seed", "x"], "--seed"),
    (["run", "-t", "there.yaml", "-n", "x"], "'x' is neither a number nor auto"),
    (["run", "-t", "there.yaml", "-n", "-1"], "'-1' is neither a number nor auto"),
    (["run", "-t", "there.yaml", "--out"], "--out"),
    (["run", "-t", "missing.yaml"], "missing.yaml: there is no such file"),
    (["run", "-t", "missing.yaml", "-n", "2"], "missing.yaml: there is no such file"),
    (["run", "-t", "there.yaml", "--pair", "x"], "no pair 'x' in the topology"),
    (["run", "-t", "there.yaml", "--no-such-option"], "--no-such-option"),
    (["run", "-t", "there.yaml", "--out", "there.yaml"], "results cannot be written to"),
    (["run", "-t", "there.yaml", "--out", "/proc/1"], "results cannot be written to /proc/1"),
    (["check"], "Missing argument 'TOPOLOGY'"),
    (["check", "there.yaml", "else"], "Got unexpected extra argument (else)"),
    (["check", "there.yaml", "--pairs", "x"], "No such option '--pairs'. Did you mean '--pair'?"),
    (["check", "-t", "missing.yaml"], "missing.yaml: there is no such file"),
    (["check", "--topology", "missing.yaml"], "missing.yaml: there is no such file"),
    (["check", "missing.yaml"], "missing.yaml: there is no such file"),
    (["check", "there.yaml", "--pair", "x"], "no pair 'x' in the topology"),
    (["restore"], "Missing argument 'TOPOLOGY'"),
    (["restore", "missing.yaml"], "missing.yaml: there is no such file"),
    (["restore", "there.yaml", "--pair", "x"], "no pair 'x' in the topology"),
    (["plan"], "Missing argument 'TOPOLOGY'"),
    (["plan", "missing.yaml"], "missing.yaml: there is no such file"),
    (["plan", "-t", "missing.yaml"], "missing.yaml: there is no such file"),
    (["plan", "-t", "there.yaml", "--pair", "x"], "the pairs are: only"),
    (
        ["run", "-t", "there.yaml", "--expectations", "none.yaml"],
        "none.yaml: there is no such file",
    ),
    (
        ["run", "-t", "there.yaml", "--expectations", "there.yaml"],
        "there.yaml:3:1: unknown key 'hosts'; known here: version, known",
    ),
    (["judge"], "out: there is no such directory"),
    (["judge", "missing"], "missing: there is no such directory"),
    (["judge", "."], ".: has no stored run"),
    (["judge", ".", "--rate", "0"], "--rate"),
    (["judge", ".", "--confidence", "1"], "--confidence"),
    (["compare"], "Missing argument 'OLD'"),
    (["compare", "missing"], "missing: there is no such directory, and no run of that id"),
    (["compare", "missing", "there.yaml"], "missing: there is no such directory, and no run of"),
    (["compare", ".", "."], ".: has no stored run"),
    (["compare", ".", ".", "--map", "x"], "--map: 'x' names no two pairs"),
    (["lab", "up"], "Missing argument 'TOPOLOGY'"),
    (["lab", "up", "-t", "missing.yaml"], "missing.yaml: there is no such file"),
    (["lab", "up", "missing.yaml"], "missing.yaml: there is no such file"),
    (["lab", "up", "there.yaml"], "the topology has no lab to build"),
    (["lab", "sideways"], "No such command 'sideways'"),
    (["verify", "missing.pcap"], "missing.pcap: cannot be read: No such file"),
    (["verify", "there.yaml"], "there.yaml: neither a pcap nor a pcapng file"),
    (["verify", "."], "the directory holds no capture"),
    (["verify", "there.yaml", "--port", "0"], "--port"),
    (["verify", "there.yaml", "--port", "70000"], "--port"),
]


@pytest.mark.parametrize(("args", "what"), MISTAKES, ids=[" ".join(args) for args, _ in MISTAKES])
def test_a_users_mistake_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: list[str], what: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ssh = "ssh: {address: 192.0.2.1}"  # a documentation address: nothing here ever connects to it
    Path("there.yaml").write_text(
        f"""
version: 1
hosts:
  alpha: {{{ssh}, nics: {{p: {{interface: p0, underlay: [198.18.0.1/24]}}}}}}
  bravo: {{{ssh.replace("2.1", "2.2")}, nics: {{p: {{interface: p0, underlay: [198.18.0.2/24]}}}}}}
pairs:
  only: {{dut: alpha.p, peer: bravo.p}}
"""
    )
    done = vxqual(*args)
    said = done.stdout + done.stderr
    assert done.returncode == EXIT_USAGE, said
    assert said.count(what) == 1, said
    assert "Traceback" not in said
    assert "INTERNALERROR" not in said


# verify


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    return tmp_path / "capture.pcap"


@pytest.mark.parametrize(
    ("frames", "code", "what"),
    [
        ([TUNNEL / INNER / TCP()] * 3, EXIT_QUALIFIED, "all 3 frames right"),
        (
            [TUNNEL / INNER / TCP(), TUNNEL / INNER / TCP(chksum=0x1234)],
            EXIT_NOT_QUALIFIED,
            "1 of 2 frames is wrong",
        ),
        ([INNER / TCP()], EXIT_QUALIFIED, "all 1 frame right; no VXLAN among them"),
        ([LINK / ARP(pdst="192.0.2.1")], EXIT_LAB, "nothing could be judged"),
    ],
    ids=["right", "wrong", "no VXLAN", "no checksum"],
)
def test_verify(capture: Path, frames: list[Ether], code: int, what: str) -> None:
    wrpcap(str(capture), [Ether(bytes(frame)) for frame in frames])
    done = vxqual("verify", capture)
    assert (done.returncode, done.stderr) == (code, "")
    assert f"{capture}: {what}" in done.stdout.splitlines()[0]


def test_verify_of_a_file_cut_short_proves_nothing(capture: Path) -> None:
    wrpcap(str(capture), [Ether(bytes(TUNNEL / INNER / TCP()))] * 2)
    capture.write_bytes(capture.read_bytes()[:-3])
    done = vxqual("verify", capture)
    assert done.returncode == EXIT_LAB
    assert "before the cut" in done.stdout


def test_verify_starts_at_once(
    capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrpcap(str(capture), [Ether(bytes(TUNNEL / INNER / TCP()))])
    # Compiled code is cached, as in any installation: the first start makes it.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path / "compiled"))

    def seconds() -> float:
        begin = time.perf_counter()
        assert vxqual("verify", capture).returncode == EXIT_QUALIFIED
        return time.perf_counter() - begin

    # The best of several: others may use this machine at the same time.
    assert any(seconds() < 0.3 for _ in range(10))


def test_cases_lists_what_is_sent_and_what_for() -> None:
    from qualification.wire.crafted.catalogue import PACKET_SETS  # noqa: PLC0415

    done = vxqual("cases")
    assert done.returncode == EXIT_QUALIFIED
    for packet_set in PACKET_SETS.values():
        assert f"  {packet_set.name:<12} {packet_set.title}\n" in done.stdout
        assert f"for: {', '.join(packet_set.faults)}\n" in done.stdout


def test_selftest_knows_its_firmwares() -> None:
    done = vxqual("selftest", "sed-left")
    assert done.returncode == EXIT_USAGE
    assert "there is no firmware 'sed-left'" in done.stderr


@pytest.mark.parametrize("given", [["none.yaml"], ["--topology", "none.yaml"], ["-t", "none.yaml"]])
def test_qualify_takes_a_topology_as_run_does(given: list[str]) -> None:
    script = Path(__file__).parents[2] / "scripts" / "qualify"
    done = subprocess.run(
        [script, *given, "-v"], capture_output=True, text=True, check=False, timeout=60
    )
    said = done.stdout + done.stderr
    assert done.returncode == EXIT_USAGE, said
    assert said.count("none.yaml: there is no such file") == 1, said


def test_every_command_is_known_by_the_module_that_has_it() -> None:
    """`vxqual` imports a module when one of its commands is called, and so must know them all."""
    for module in pkgutil.iter_modules(cli.__path__):
        importlib.import_module(f"qualification.cli.{module.name}")
    found = {name: command.callback for name, command in main.commands.items()}
    assert sorted(found) == list(MODULES)
    for name, callback in found.items():
        assert callback is not None
        assert callback.__module__.split(".")[2] == MODULES[name]
