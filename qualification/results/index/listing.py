"""The runs of the store, and the history of a NIC model, as lines of text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from .history import Fault, FirmwareHistory
from .queries import ListedNic, ListedRun

_HEAD = ("run", "began (UTC)", "outcome", "plan", "pair", "NIC", "cells")


def table(runs: Sequence[ListedRun]) -> Iterator[str]:
    """Yields a line for each run and DUT, below a head."""
    rows = [_HEAD]
    for run in runs:
        about = run.id, _minute(run.started), run.outcome, run.plan
        for number, dut in enumerate(run.duts):
            first = about if number == 0 else ("", "", "", "")
            rows.append((*first, dut.pair, f"{dut.driver} {dut.firmware}", counted(dut)))
        if not run.duts:
            rows.append((*about, "", "", ""))
    widths = [max(len(row[at]) for row in rows) for at in range(len(_HEAD))]
    for row in rows:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def counted(dut: ListedNic) -> str:
    """Returns how the cells of a DUT ended, in words."""
    named = (
        (dut.failed, "FAIL"),
        (dut.known, "known to fail"),
        (dut.not_judged, "not judged"),
        (dut.passed, "pass"),
    )
    return ", ".join(f"{count:,} {word}" for count, word in named if count) or "none"


def models(found: Sequence[FirmwareHistory]) -> Iterator[str]:
    """Yields a block for each NIC model, with its firmwares in the order of time."""

    def model(one: FirmwareHistory) -> tuple[str, str]:
        return one.driver, one.pci_id or ""

    ordered = sorted(found, key=lambda one: (*model(one), one.first))
    for number, ((driver, pci_id), some) in enumerate(groupby(ordered, key=model)):
        if number:
            yield ""
        yield f"{driver} {pci_id}".rstrip()
        for one in some:
            yield from _firmware(one)


def _firmware(one: FirmwareHistory) -> Iterator[str]:
    nics = f"{one.nics} NIC{'s' * (one.nics > 1)}"
    runs = f"{one.runs} run{'s' * (one.runs > 1)}"
    when = (
        _day(one.first)
        if _day(one.first) == _day(one.last)
        else (f"{_day(one.first)} to {_day(one.last)}")
    )
    yield f"  firmware {one.firmware}: {_result(one)}"
    yield f"    {runs} of {nics}, {when}, kernel {', '.join(one.kernels)}"
    for fault in one.faults:
        yield f"    {_fault(fault, one)}"
    if one.passed_before:
        yield f"    no cell failed up to the run of {_minute(one.passed_before)}"


def _result(one: FirmwareHistory) -> str:
    if not one.last_judged:
        return "the last run judged no cell"
    if one.last_failed:
        return f"FAILS, {one.last_failed:,} of {one.last_judged:,} cells in the last run"
    if one.failed:
        return f"failed in {one.failed} of {one.runs} runs, and not in the last one"
    return "has not failed"


def _fault(fault: Fault, one: FirmwareHistory) -> str:
    what = fault.signature or "no signature"
    by = f", culprit {fault.culprit}" if fault.culprit else ""
    last = "" if fault.last == one.last else f", last seen {_day(fault.last)}"
    return (
        f"since {_day(fault.first)}{last}: {what}{by}; {fault.cells:,} cells in {fault.runs} "
        f"run{'s' * (fault.runs > 1)}"
    )


def _day(at: str) -> str:
    return at[:10]


def _minute(at: str) -> str:
    return at[:16].replace("T", " ")
