"""Runs of vxqual itself on the loopback lab: a plan, and cells that exclude a low rate."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from xml.etree import ElementTree

from qualification.results import run_directory

from .processes import VXQUAL, Cost, run
from .rows import Bar, Row, Side
from .setting import Setting

LOOPBACK = Path(__file__).parents[1] / "topologies" / "loopback.yaml"
_FEW = ("-k", "test_control or test_received")
"""Selects enough cells to check that it works."""


def qualify(setting: Setting, topology: Path, *options: str) -> tuple[Cost, Path]:
    """Runs `vxqual run` to its end.

    Args:
        setting: The settings of this run of the bench.
        topology: A topology whose NICs have no faults.
        *options: Further options of `vxqual run`.

    Returns:
        The cost of the process, and the directory of its results.

    Raises:
        LabError: The run did not qualify all NICs.
    """
    out = setting.scratch / "out"
    shutil.rmtree(out, ignore_errors=True)
    command = [VXQUAL, "run", f"--topology={topology}", f"--out={out}", "--partial-ok", *options]
    return run(command, keep=True), out


def standard_plan(setting: Setting) -> Iterator[Row]:
    """Yields the time of the standard plan, and the time of a cell apart from its traffic."""
    overheads = []
    note = ""

    def start_to_matrix() -> float:
        nonlocal note
        few = _FEW if setting.quick else ()
        cost, out = qualify(setting, LOOPBACK, "--plan=standard", *few)
        entries = [e for e in run_directory.read(out).entries.values() if e.evidence is not None]
        bursts = [burst for e in entries if e.evidence for burst in e.evidence.bursts]
        traffic = sum(burst.sent.seconds for burst in bursts)
        overheads.append((cost.wall - traffic) / len(entries))
        note = f"{len(entries)} cells, {traffic:.0f} s of traffic"
        return cost.wall

    found = setting.in_turn({"standard plan": start_to_matrix}, warm_up=False)
    yield Row(
        work="standard plan on the loopback lab, start to matrix",
        unit="s",
        ours=Side("vxqual run", found["standard plan"]),
        bar=Bar("value", "at most", 60),
        limit="Traffic, which two soft NICs and two kernels on the same cores limit, and what the "
        "next row is about.",
        note=note,
    )
    yield Row(
        work="overhead per cell beyond its traffic",
        unit="s",
        ours=Side("vxqual run", tuple(overheads)),
        bar=Bar("value", "at most", 0.15),
        limit="Waiting for the last frames, reading counters at both ends, and orders over SSH.",
    )


_FLOWS = {"tcp": "TCP in bulk", "udp": "small UDP", "udp-seg": "UDP in super-packets"}
_FIRST, _CELL = "all-on/outer4-csum/inner4/udp]", "all-on/outer6-csum/inner4/"
"""The first cell includes the work that a run does once: imports, and creating tunnels after
controls."""


def excluding(setting: Setting) -> Iterator[Row]:
    """Yields the time of cells that exclude 1e-4 at 99.9 %, which takes 69,075 frames."""
    rate = "1e-2" if setting.quick else "1e-4"
    chosen = " or ".join(["test_control", _FIRST, *(f"{_CELL}{flow}]" for flow in _FLOWS)])
    times: dict[str, list[float]] = {flow: [] for flow in _FLOWS}

    def three_flows() -> float:
        report = setting.scratch / "cells.xml"
        # So that the time of the last cell does not include the end of the session.
        cells_alone = ("-o", "junit_duration_report=call")
        options = ("--plan=quick", f"--rate={rate}", f"--junitxml={report}", *cells_alone)
        cost, _ = qualify(setting, LOOPBACK, *options, "-k", chosen)
        for flow, seconds in _cell_seconds(report, tuple(_FLOWS)).items():
            times[flow].append(seconds)
        return cost.wall

    setting.in_turn({f"excluding {rate}": three_flows}, warm_up=False)
    for flow, name in _FLOWS.items():
        yield Row(
            work=f"excluding {rate} at 99.9 % for one flow, {name}",
            unit="s",
            ours=Side("the cell", tuple(times[flow])),
            bar=Bar("value", "at most", 1),
            limit="Traffic: sender, receiver, two soft NICs and two captures on the same cores.",
        )


def _cell_seconds(report: Path, flows: Sequence[str]) -> dict[str, float]:
    """Returns the seconds of each flow's cell, from a JUnit report."""
    cases = {
        case.get("name", ""): float(case.get("time", "nan"))
        for case in ElementTree.parse(report).iter("testcase")  # noqa: S314  (pytest's own)
    }
    return {
        flow: median(t for name, t in cases.items() if name.endswith(f"{_CELL}{flow}]"))
        for flow in flows
    }
