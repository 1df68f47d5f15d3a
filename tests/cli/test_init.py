"""`vxqual init` writes files that are what they claim, and never over another; completion works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from qualification.errors import EXIT_QUALIFIED, EXIT_USAGE
from qualification.judge.known import expectations
from qualification.topology import load

from .test_cli import VXQUAL, vxqual

ROOT = Path(__file__).resolve().parents[2]
COPIES = {
    "policy": ("policy.example.yaml", "vxqual gate out --policy {}"),
    "expectations": ("expectations.example.yaml", "vxqual run my-lab.yaml --expectations {}"),
}


@pytest.mark.parametrize("name", COPIES)
def test_a_file_is_written_once(tmp_path: Path, name: str) -> None:
    example, after = COPIES[name]
    path = tmp_path / f"{name}.yaml"
    done = vxqual("init", name, path)
    assert done.returncode == EXIT_QUALIFIED
    assert after.format(path) in done.stdout
    assert path.read_bytes() == (ROOT / "reports" / example).read_bytes()
    path.write_text("mine")
    done = vxqual("init", name, path)
    assert done.returncode == EXIT_USAGE
    assert done.stderr.startswith(f"vxqual: {path}: it exists already, and is not overwritten\n")
    assert path.read_text() == "mine"
    assert vxqual("init", name, path, "--force").returncode == EXIT_QUALIFIED
    assert path.read_bytes() == (ROOT / "reports" / example).read_bytes()
    assert vxqual("init", name, tmp_path / "no" / "p.yaml").returncode == EXIT_USAGE


def test_the_examples_are_all_written_or_none(tmp_path: Path) -> None:
    place = tmp_path / "new"
    done = vxqual("init", "lab", place)
    assert done.returncode == EXIT_QUALIFIED, done.stderr
    assert f"vxqual check {place}/loopback.yaml" in done.stdout
    for path in (ROOT / "topologies").iterdir():
        assert (place / path.name).read_bytes() == path.read_bytes()
    assert load(place / "loopback.yaml").lab is not None
    for path in place.iterdir():
        if path.name != "qemu.yaml":
            path.unlink()
    (place / "qemu.yaml").write_text("mine")
    done = vxqual("init", "lab", place)
    assert done.returncode == EXIT_USAGE
    assert "qemu.yaml: it exists already" in done.stderr
    assert [path.name for path in place.iterdir()] == ["qemu.yaml"]
    assert (place / "qemu.yaml").read_text() == "mine"
    assert vxqual("init", "lab", place, "--force").returncode == EXIT_QUALIFIED
    assert (place / "qemu.yaml").read_text() != "mine"
    assert "cannot be made" in vxqual("init", "lab", place / "qemu.yaml" / "below").stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("vxqual init l", {"plain,lab"}),
        ("vxqual run my-lab.yaml --pla", {"plain,--plan"}),
        ("vxqual run my-lab.yaml --plan s", {"plain,standard"}),
        ("vxqual check my", {"file,my"}),
        ("vxqual lab up my", {"file,my"}),
    ],
)
def test_a_shell_completes_what_is_typed(typed: str, offered: set[str]) -> None:
    done = subprocess.run(
        [VXQUAL],
        env=os.environ
        | {"_VXQUAL_COMPLETE": "bash_complete", "COMP_WORDS": typed}
        | {"COMP_CWORD": str(typed.count(" "))},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert set(done.stdout.split()) == offered


def test_bash_takes_the_completion_as_it_is_documented() -> None:
    documented = (ROOT / "docs/first-steps.md").read_text(encoding="utf-8")
    line = 'eval "$(_VXQUAL_COMPLETE=bash_source vxqual)"'
    assert line in documented
    done = subprocess.run(
        ["bash", "--norc", "-c", f"{line}; complete -p vxqual"],
        env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == "complete -o nosort -F _vxqual_completion vxqual\n"


def test_a_form_says_what_writes_one(tmp_path: Path) -> None:
    said = vxqual("check", tmp_path / "none.yaml").stderr
    assert "`vxqual init topology` writes one of your hosts" in said
    assert "vxqual init expectations" in expectations.EXPECTATIONS.begin_from
