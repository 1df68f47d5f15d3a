"""A cell as a test of Allure: how it ended, and the steps by which its verdict was found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from qualification.judge.controls import ControlResult
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict, percent
from qualification.printable import markdown, printable
from qualification.results.forms.mitigation import mitigation
from qualification.results.matrix import Matrix, NicRow
from qualification.results.page.address import PAGE, address
from qualification.results.run_directory import StoredRun

from .model import STATUSES, AllureFile, AllureLink, AllureTest
from .parts import about, evidence_files, identity, labels, text_file
from .steps import steps_of

_FAILING = (Verdict.FAIL, Verdict.LOSS, Verdict.KNOWN)


def cell_test(matrix: Matrix, nic: NicRow, cell: CellRow, stored: StoredRun | None) -> AllureTest:
    """Returns the test of a cell.

    Args:
        matrix: The results of the run.
        nic: The DUT.
        cell: The cell.
        stored: The stored run; None where only its results are known: steps and evidence are
            missing then.
    """
    entry = stored.entries.get(cell.id) if stored else None
    evidence = entry.evidence if entry else None
    told = sentence(cell)
    heals = mitigation(matrix, nic) if cell.verdict in _FAILING else ""
    controls = _controls(stored, cell) if stored else {}
    culprit = {"culprit": printable(" + ".join(cell.culprit))} if cell.culprit else {}
    files: list[AllureFile] = [text_file(cell.id, "\n".join(filter(None, (told, heals))))]
    files += evidence_files(cell.id, evidence) if evidence else []
    return AllureTest(
        id=printable(cell.id),
        name=printable(cell.flow.id),
        status=STATUSES[cell.verdict],
        message="" if cell.verdict is Verdict.PASS else told,
        details=_details(nic, cell, heals),
        description=_description(nic, cell, heals),
        labels=labels(nic, cell.set_id, "cell", str(cell.verdict))
        | {"story": printable(cell.flow.id)}
        | culprit,
        identity=identity(nic, offload_set=cell.set_id, flow=cell.flow.id),
        about=about(nic) | _numbers(cell),
        links=tuple(_links(cell, stored)),
        steps=tuple(steps_of(cell, evidence, controls, matrix.run.demand, told)),
        files=tuple(files),
        known=cell.verdict is Verdict.KNOWN,
        seconds=sum(burst.sent.seconds for burst in evidence.bursts) if evidence else 0.0,
    )


def sentence(cell: CellRow) -> str:
    """Returns how a cell ended: verdict, reason, signature and culprit."""
    parts = [f"{cell.verdict}: {cell.reason}", cell.signature or ""]
    if cell.culprit:
        parts.append(f"culprit {' + '.join(cell.culprit)}")
    return printable("; ".join(filter(None, (*parts, cell.note))))


def _details(nic: NicRow, cell: CellRow, heals: str) -> str:
    lines = [
        f"cell: {cell.id}",
        f"NIC: {nic.host} {nic.interface}, {nic.driver}, firmware {nic.firmware}",
        f"frames: {cell.frames:,}, wrong {cell.wrong:,}, lost {cell.lost:,}",
        *([f"wire: {cell.wire}"] if cell.wire else []),
        *([heals] if heals else []),
    ]
    return printable("\n".join(lines), lines=True)


def _description(nic: NicRow, cell: CellRow, heals: str) -> str:
    """Returns the paragraphs of the description, as Markdown."""
    parts = [f"**{cell.verdict}**: {markdown(cell.reason)}"]
    parts.append(
        markdown(f"{nic.driver}, firmware {nic.firmware}, kernel {nic.kernel}, on {nic.host}")
    )
    if cell.signature:
        parts.append(f"signature: {markdown(cell.signature)}")
    if cell.culprit:
        parts.append(f"culprit: {markdown(' + '.join(cell.culprit))}")
    parts += [markdown(text) for text in (heals, cell.note) if text]
    return "\n\n".join(parts)


def _numbers(cell: CellRow) -> dict[str, str]:
    if cell.rate is None:
        return {}
    rate = f"{percent(cell.rate)} ({percent(cell.rate_low)} to {percent(cell.rate_high)})"
    return {"frames": f"{cell.frames:,}", "wrong": f"{cell.wrong:,}", "rate": rate}


def _links(cell: CellRow, stored: StoredRun | None) -> Iterator[AllureLink]:
    if stored is None:
        return
    known = stored.campaign.expectations
    if cell.expectation and known and cell.expectation in known.known:
        entry = known.known[cell.expectation]
        yield AllureLink("issue", printable(entry.link), printable(cell.expectation))
    page: Path = stored.directory.absolute() / PAGE
    url = f"{page.as_uri()}{address(cell.id).removeprefix(PAGE)}"
    yield AllureLink("link", url, "evidence on the page")


def _controls(stored: StoredRun, cell: CellRow) -> Mapping[str, ControlResult]:
    return stored.parts[stored.part_of.get(cell.id, 0)].get(cell.pair, {})
