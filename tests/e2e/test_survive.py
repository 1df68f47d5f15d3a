"""Runs on labs of which a part is lost, at the start or in the middle: what can be judged is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .conftest import SMALL, SOME, Edit, Persistent, rows, vxqual
from .test_mistakes import ONE_FLOW, reported

pytestmark = pytest.mark.lab

Changed = Callable[[Edit], Path]
ADDRESS = "198.18.0.3/24"
"""Of the host with another name."""


def also_called(host: str, other: str, folder: Path, **ssh: Any) -> Edit:
    """Adds a host under another name, which is reached by the script `charlie` of a folder."""

    def edit(document: dict[str, Any]) -> None:
        there = document["hosts"][host]
        lines = Path(there["ssh"]["known_hosts"]).read_text().splitlines()
        [key] = [line.partition(" ")[2] for line in lines if line.startswith(f"{host} ")]
        (folder / "known_hosts").write_text(f"{other} {key}\n")
        settings = {
            "address": other,
            "known_hosts": str(folder / "known_hosts"),
            "proxy_command": str(folder / "proxy"),
        }
        nics = {"port0": {"interface": "port0", "underlay": [ADDRESS]}}
        document["hosts"][other] = {"ssh": {**there["ssh"], **settings, **ssh}, "nics": nics}

    return edit


def proxy(folder: Path, command: str) -> None:
    script = folder / "proxy"
    script.write_text(f"#!/bin/sh\nexec {command}\n")
    script.chmod(0o755)


@pytest.fixture
def three_pairs(changed: Changed, tmp_path: Path) -> Path:
    """A topology with one pair that is well, and two with a host that `proxy` leads to."""

    def edit(document: dict[str, Any]) -> None:
        also_called("bravo", "charlie", tmp_path)(document)
        document["pairs"]["back"] = {"dut": "charlie.port0", "peer": "alpha.port0"}
        document["pairs"]["half"] = {"dut": "alpha.port0", "peer": "charlie.port0"}

    return changed(edit)


def by_pair(out: Path) -> dict[str, dict[str, Any]]:
    return {row["pair"]: row for row in rows(out).values()}


def test_a_host_that_is_down_costs_its_own_pairs_only(three_pairs: Path, tmp_path: Path) -> None:
    proxy(tmp_path, "false")
    out = tmp_path / "out"
    done = vxqual("run", three_pairs, *SMALL, "--out", out, "--no-symptom", *ONE_FLOW)
    reported(done, 10, "2 of 3 pairs cannot run now", "end in ERROR: back, half")
    assert "vxqual: charlie: " in done.stdout.partition("3 pairs, plan")[0], "before anything runs"
    found = by_pair(out)
    assert {pair: row["verdict"] for pair, row in found.items()} == {
        "soft": "PASS",
        "back": "ERROR",
        "half": "ERROR",
    }
    for pair in ("back", "half"):
        assert "charlie: the proxy command failed" in found[pair]["reason"]
    again = vxqual("judge", out, "--out", tmp_path / "again")
    assert again.returncode == 10, again.stdout
    assert "lab error in that run" not in again.stdout
    matrix = (out / "latest/matrix.json").read_text()
    assert (tmp_path / "again/matrix.json").read_text() == matrix

    pairs = ("--pair", "back", "--pair", "half")
    only = vxqual("run", three_pairs, *SMALL, "--out", tmp_path / "only", *pairs, *ONE_FLOW)
    reported(only, 10, "charlie: the proxy command failed", "nothing was judged")
    assert not (tmp_path / "only/latest/matrix.json").exists()


@pytest.mark.slow
def test_a_run_is_continued_once_the_host_is_up(
    lab: Persistent, three_pairs: Path, tmp_path: Path
) -> None:
    proxy(tmp_path, "false")
    out = tmp_path / "out"
    done = vxqual("run", three_pairs, *SMALL, "--out", out, "--no-symptom", *ONE_FLOW)
    assert done.returncode == 10, done.stdout
    before = by_pair(out)["soft"]

    proxy(tmp_path, lab.document["hosts"]["bravo"]["ssh"]["proxy_command"])
    resumed = vxqual("run", "--resume", "--out", out, SOME)
    assert resumed.returncode == 0, resumed.stdout
    assert "1 of 3 cells are kept" in resumed.stdout
    found = by_pair(out)
    assert {pair: row["verdict"] for pair, row in found.items()} == dict.fromkeys(found, "PASS")
    assert found["soft"] == before

    # It is down again: what was found stays, and stays good.
    proxy(tmp_path, "false")
    kept = vxqual("run", "--resume", "--out", out, SOME)
    assert "3 of 3 cells are kept" in kept.stdout
    assert by_pair(out) == found
    again = vxqual("judge", out, "--out", tmp_path / "again")
    matrix = (out / "latest/matrix.json").read_text()
    assert (tmp_path / "again/matrix.json").read_text() == matrix, again.stdout
