"""What goes to Allure: from the worker that ran a cell, and from the controller at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import allure

from qualification.campaign import Campaign
from qualification.inventory import Ends
from qualification.judge.evidence import Evidence
from qualification.judge.verdict import Verdict
from qualification.printable import markdown, printable

from .page.address import PAGE, address
from .pcapng import pcapng


def label(ends: Ends, pair: str, verdict: Verdict | None, reason: str) -> None:
    """Labels the running test; does nothing if the run does not report to Allure.

    Args:
        ends: The pair it ran on.
        pair: The pair's name.
        verdict: The test's verdict; None for a test that gives none, such as the symptom.
        reason: The reason, in a sentence.
    """
    for name, value in {
        "driver": ends.dut.driver,
        "firmware": ends.dut.firmware,
        "pair": pair,
    }.items():
        allure.dynamic.label(name, printable(value))
    if verdict is not None:
        allure.dynamic.label("verdict", str(verdict))
    allure.dynamic.description(markdown(reason))
    # Shown, but excluded from the test's identity: its history continues across firmwares.
    allure.dynamic.parameter("firmware", printable(ends.dut.firmware), excluded=True)


def link(directory: Path, cell: str) -> None:
    """Links the running test to the evidence of its cell on the page of the run.

    Args:
        directory: The directory of the run.
        cell: The id of the cell.
    """
    page = (directory.absolute() / PAGE).as_uri()
    allure.dynamic.link(f"{page}{address(cell).removeprefix(PAGE)}", name="evidence on the page")


def attach(evidence: Evidence, dumped: Mapping[str, Any]) -> None:
    """Attaches evidence to the running test, and its bad frames as a capture file.

    Args:
        evidence: What a verdict rests on.
        dumped: The same evidence as JSON types.
    """
    attach_json("evidence.json", dumped)
    bad = [frame for burst in evidence.bursts for frame in burst.received.captured.samples]
    bad += [frame for burst in evidence.received for frame in burst.samples]
    if bad:
        allure.attach(pcapng(bad), "bad frames", "application/x-pcapng", "pcapng")


def attach_json(name: str, dumped: Any) -> None:
    """Attaches JSON types to the running test."""
    allure.attach(json.dumps(dumped, indent=1), name, allure.attachment_type.JSON)


def attach_search(findings: Mapping[str, Any], steps: Sequence[Mapping[str, Any]]) -> None:
    """Attaches a search for culprits to the running test.

    Args:
        findings: What was found, as JSON types.
        steps: The cells that were run for it, in order.
    """
    attach_json("culprits.json", findings)
    attach_json("steps.json", steps)


def finish(directory: Path, campaign: Campaign) -> None:
    """Writes the files that describe the run as a whole; only the controller calls this."""
    lines = [f"vxqual={campaign.version}", f"run={campaign.run_id}", f"seed={campaign.seed}"]
    for pair in campaign.pairs:
        dut = campaign.ends(pair).dut
        lines += [
            f"{pair}.driver={dut.driver} {dut.facts.driver_version or ''}".rstrip(),
            f"{pair}.firmware={dut.firmware}",
            f"{pair}.kernel={dut.host.kernel}",
        ]
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "environment.properties").write_text(
        "".join(f"{printable(line)}\n" for line in lines), encoding="utf-8"
    )
    executor = {"name": "vxqual", "type": "vxqual", "buildName": campaign.run_id}
    (directory / "executor.json").write_text(json.dumps(executor), encoding="utf-8")
