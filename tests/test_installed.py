"""From a wheel to a verdict: docs/first-steps.md, as it is typed, in an empty directory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = (ROOT / "docs/first-steps.md").read_text(encoding="utf-8")


def typed(heading: str) -> list[str]:
    """The commands below a heading of the document, with their comments."""
    section = DOCUMENT.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return re.search(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)[1].splitlines()  # type: ignore[index]


class Terminal:
    """A directory in which commands are typed, with nothing of this checkout in sight."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._setup = ""
        self._environ = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTHON", "VXQUAL", "VIRTUAL_ENV"))
        } | {
            "PATH": f"{sys.base_prefix}/bin:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin",
            "PIP_CONSTRAINT": str(ROOT / "constraints.txt"),
            "COLUMNS": "100",
        }

    def type(self, command: str, code: int = 0, timeout: float = 600) -> str:
        """Types a command, which has to end with an exit code; returns what it says."""
        if command.startswith("source "):
            self._setup += f"{command}\n"
        done = subprocess.run(
            ["bash", "--norc", "-c", f"{self._setup}{command}"],
            cwd=self.directory,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=timeout,
        )
        assert done.returncode == code, f"$ {command}\n{done.stdout}"
        return done.stdout


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    """A terminal in which the first block of the document has been typed, beside a wheel alone."""
    directory = tmp_path_factory.mktemp("installed")
    subprocess.run([ROOT / "scripts/wheel", directory], check=True, timeout=900)
    (wheel,) = directory.iterdir()
    terminal = Terminal(directory)
    for command in typed("Installing it"):
        terminal.type(command, timeout=900)
    wheel.unlink()
    yield terminal


@pytest.mark.slow
@pytest.mark.lab
def test_the_first_steps_without_hardware(terminal: Terminal) -> None:
    where = terminal.type("python -c 'import qualification; print(qualification.__file__)'")
    assert where.startswith(f"{terminal.directory}/.venv/")
    said = {}
    for command in typed("Without hardware"):
        name = " ".join(command.split()[1:3])
        said[name] = terminal.type(command, code=1 if command.startswith("vxqual gate") else 0)
    assert list(said) == ["init lab", "check loopback.yaml", "run loopback.yaml", "init policy",
                          "gate out"]  # fmt: skip
    assert "ready" in said["check loopback.yaml"]
    assert "judged by native C" in said["run loopback.yaml"]
    assert " FAIL" not in said["run loopback.yaml"]
    assert said["gate out"].startswith("NOT QUALIFIED by policy production nodes")
    for rule in ("plan", "complete"):
        assert re.search(rf"^ .*\b{rule}", said["gate out"], re.MULTILINE), said["gate out"]
    # A mistake names what can be typed here, not a file of a checkout.
    assert "next: `vxqual init topology` writes one" in terminal.type("vxqual check no.yaml", 4)


@pytest.mark.slow
def test_the_other_ways_to_call_it(terminal: Terminal) -> None:
    assert terminal.type("python -m qualification --version") == terminal.type("vxqual --version")
    (line,) = re.findall(r'^eval "\$\(_VXQUAL_COMPLETE=bash_source vxqual\)"$', DOCUMENT, re.M)
    said = terminal.type(f"{line}; complete -p vxqual")
    assert said == "complete -o nosort -F _vxqual_completion vxqual\n"
    for name in ("topology", "lab", "policy", "expectations"):
        assert f"vxqual init {name}" in terminal.type(f"vxqual init {name} --help")
    terminal.type("vxqual init expectations")
    terminal.type("vxqual init topology --dut nowhere.invalid:a --peer lab-b:a", code=10)


def test_the_document_has_what_is_typed() -> None:
    assert [command.split()[0] for command in typed("Installing it")] == [
        "python3",
        "source",
        "pip",
    ]
    assert [command.split()[1] for command in typed("Without hardware")] == [
        *("init", "check", "run", "init", "gate"),
    ]
    assert all(command.startswith("vxqual ") for command in typed("With two hosts"))
