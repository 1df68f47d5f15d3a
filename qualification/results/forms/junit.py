"""JUnit XML of a stored run, with driver and firmware in the class names.

Jenkins and GitLab group tests by class name, and tell by it since when a test fails: a firmware is
a group of its own. The form is that of Jenkins' xUnit plugin (junit-10.xsd), in which a test has no
properties; they are those of its suite.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from xml.etree import ElementTree as ET

from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict
from qualification.printable import printable
from qualification.results.conclusion import RunOutcome
from qualification.results.matrix import Matrix, NicRow
from qualification.results.terminal.overview import outcome

from .mitigation import mitigation

_TAGS: Mapping[Verdict, str] = MappingProxyType(
    {
        Verdict.FAIL: "failure",
        Verdict.LOSS: "failure",
        Verdict.INCONCLUSIVE: "error",
        Verdict.UNTRUSTED: "error",
        Verdict.ERROR: "error",
        Verdict.NOT_EXERCISED: "skipped",
        Verdict.UNSUPPORTED: "skipped",
        Verdict.KNOWN: "skipped",
    }
)
"""What a verdict is in JUnit; PASS has no element. What the lab could not judge is an error."""


def document(matrix: Matrix) -> bytes:
    """Returns a run as JUnit XML: a suite for each DUT, and in it a test for each cell.

    The last test of a suite is the outcome of the NIC, so that a run in which no cell fails, and
    that qualifies nothing, is not taken for a good one.
    """
    root = ET.Element("testsuites", name="vxqual")
    total: Counter[str] = Counter()
    for nic in matrix.nics:
        if nic.role == "dut":
            suite, counted = _suite(matrix, nic)
            root.append(suite)
            total += counted
    root.attrib.update(_counts(total, "tests", "failures", "errors"))
    ET.indent(root)
    written: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def class_name(nic: NicRow) -> str:
    """Returns "driver.firmware.pair".

    Jenkins takes what is before the last dot for the package, and each dot of it for a level: those
    within a name become underscores.
    """
    return ".".join(
        printable(name).replace(".", "_") for name in (nic.driver, nic.firmware, nic.pair)
    )


def _suite(matrix: Matrix, nic: NicRow) -> tuple[ET.Element, Counter[str]]:
    cells = [cell for cell in matrix.cells if cell.pair == nic.pair]
    name = printable(f"{nic.pair}: {nic.driver}, firmware {nic.firmware}")
    suite = ET.Element("testsuite", name=name)
    properties = ET.SubElement(suite, "properties")
    ended = outcome(matrix, nic.pair)
    about = {
        "outcome": ended,
        "driver": nic.driver,
        "firmware": nic.firmware,
        "host": nic.host,
        "interface": nic.interface,
        "kernel": nic.kernel,
        "pci_id": nic.pci_id or "",
        "serial": nic.serial or "",
        "run": matrix.run.id,
        "plan": matrix.run.plan,
        "vxqual": matrix.run.version,
    }
    for key, value in about.items():
        ET.SubElement(properties, "property", name=key, value=printable(value))
    counted: Counter[str] = Counter()
    for cell in cells:
        test = ET.SubElement(suite, "testcase", name=_name(cell), classname=class_name(nic))
        tag = _TAGS.get(cell.verdict)
        counted["tests"] += 1
        if tag is not None:
            _end(test, tag, str(cell.verdict), cell.reason, _details(cell))
            counted[_PLURALS[tag]] += 1
    test = ET.SubElement(suite, "testcase", name="outcome", classname=class_name(nic))
    counted["tests"] += 1
    if ended is not RunOutcome.QUALIFIED:
        tag = "failure" if ended is RunOutcome.NOT_QUALIFIED else "error"
        done = matrix.run.completeness
        text = f"{done.run:,} of {done.planned:,} cells of the plan came to a result"
        _end(
            test, tag, str(ended), text, f"{mitigation(matrix, nic) or 'no mitigation is known'}\n"
        )
        counted[_PLURALS[tag]] += 1
    suite.attrib.update(
        _counts(counted, "tests", "failures", "errors", "skipped")
        | {"hostname": printable(nic.host), "timestamp": matrix.run.started}
    )
    return suite, counted


_PLURALS = {"failure": "failures", "error": "errors", "skipped": "skipped"}


def _counts(counted: Counter[str], *names: str) -> dict[str, str]:
    return {name: str(counted[name]) for name in names}


def _name(cell: CellRow) -> str:
    return printable(f"{cell.set_id}/{cell.flow.id}")


def _end(test: ET.Element, tag: str, kind: str, reason: str, details: str) -> None:
    message = printable(f"{kind}: {reason}")
    ET.SubElement(test, tag, type=kind, message=message).text = printable(details, lines=True)


def _details(cell: CellRow) -> str:
    """Returns what is known of a cell that did not pass, a line for each."""
    lines = [
        f"cell: {cell.id}",
        f"frames: {cell.frames:,}, wrong {cell.wrong:,}, lost {cell.lost:,}",
    ]
    if cell.rate is not None:
        lines.append(f"rate: {cell.rate:.4g} ({cell.rate_low:.4g} to {cell.rate_high:.4g})")
    if cell.signature:
        lines.append(f"signature: {cell.signature}")
    if cell.culprit:
        lines.append(f"culprit: {', '.join(cell.culprit)}")
    if cell.expectation:
        lines.append(f"expectation: {cell.expectation}")
    return "\n".join([*lines, ""])
