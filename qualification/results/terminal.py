"""The matrix as people read it in a terminal: a row per offload set, a column per flow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap

from qualification.errors import EXIT_NOT_QUALIFIED, EXIT_QUALIFIED
from qualification.judge import aggregate
from qualification.judge.culprit import failure_conditions
from qualification.judge.known.matching import ExpectationNote
from qualification.judge.result_row import CellRow
from qualification.judge.symptom import Symptom
from qualification.judge.verdict import Verdict

from .matrix import Matrix, NicRow

LETTERS = {
    Verdict.PASS: ".",
    Verdict.FAIL: "F",
    Verdict.LOSS: "L",
    Verdict.INCONCLUSIVE: "?",
    Verdict.NOT_EXERCISED: "-",
    Verdict.UNSUPPORTED: "n",
    Verdict.UNTRUSTED: "U",
    Verdict.ERROR: "E",
    Verdict.KNOWN: "K",
}
_MEANINGS = {
    Verdict.PASS: "pass",
    Verdict.FAIL: "FAIL",
    Verdict.LOSS: "frames lost",
    Verdict.INCONCLUSIVE: "inconclusive",
    Verdict.NOT_EXERCISED: "the NIC had nothing to do",
    Verdict.UNSUPPORTED: "the NIC lacks it",
    Verdict.UNTRUSTED: "controls failed",
    Verdict.ERROR: "the lab's error",
    Verdict.KNOWN: "known to fail",
}
_TRAFFIC = {("tcp", True): "t", ("tcp", False): "t", ("udp", False): "u", ("udp", True): "s"}
_ORDER_OF_TRAFFIC = "tus"
_LETTERS_OF_TRAFFIC = ("t TCP", "u UDP", "s UDP segmented")
_MOST_EXPLAINED = 12
_ORDINARY_MTU = 1500

_Column = tuple[str, str, str]
"""Outer variant, inner family, traffic; plain traffic has no inner family."""


NO_CELL = "No cell was run: nothing is said of any NIC"


@dataclass(frozen=True)
class ReportLine:
    """A line of the report; `tone` is "good", "bad", "doubt", "title" or "" for plain."""

    text: str
    tone: str = ""


def report(
    matrix: Matrix, exit_code: int, width: int = 100, findings: Sequence[ExpectationNote] = ()
) -> Iterator[ReportLine]:
    """All that a run has to say: the headline, the matrix, then what expectations need.

    Args:
        matrix: The results.
        exit_code: The run's; see `qualification.errors`.
        width: Columns of the terminal.
        findings: Of the expectations file.
    """
    yield headline(matrix, exit_code)
    yield from render(matrix, width)
    if findings:
        yield ReportLine("")
        yield ReportLine("expectations", "title")
    for finding in findings:
        tone = "" if finding.kind == "UNUSED" else "doubt"
        yield from _wrapped(f"{finding.kind} {finding.name}: {finding.text}", width, tone)


def headline(matrix: Matrix, exit_code: int) -> ReportLine:
    """What happened, in one line.

    Args:
        matrix: The results.
        exit_code: The run's; see `qualification.errors`.
    """
    if not matrix.cells:
        return ReportLine(NO_CELL, "doubt")
    count = Counter(cell.verdict for cell in matrix.cells)
    named = [f"{number:,} {_MEANINGS[v]}" for v in Verdict if (number := count[v])]
    cells = f"{len(matrix.cells):,} cells: {', '.join(named)}"
    if exit_code == EXIT_QUALIFIED:
        but = ", but for what is known" if count[Verdict.KNOWN] else ""
        return ReportLine(f"QUALIFIED{but}. {cells}", "doubt" if but else "good")
    if exit_code == EXIT_NOT_QUALIFIED:
        pairs = {c.pair for c in matrix.cells if c.verdict in (Verdict.FAIL, Verdict.LOSS)}
        duts = [
            f"{nic.pair} ({nic.driver}, firmware {nic.firmware})"
            for nic in matrix.nics
            if nic.role == "dut" and nic.pair in pairs
        ]
        return ReportLine(f"NOT QUALIFIED: {', '.join(duts)}. {cells}", "bad")
    return ReportLine(f"NOT JUDGED: the lab could not tell. {cells}", "doubt")


def render(matrix: Matrix, width: int = 100) -> Iterator[ReportLine]:
    """The whole matrix, one block per pair, grouped by driver and firmware.

    Args:
        matrix: The results.
        width: Columns of the terminal.
    """
    duts = sorted(
        (nic for nic in matrix.nics if nic.role == "dut"), key=lambda n: (n.driver, n.firmware)
    )
    peers = {nic.pair: nic for nic in matrix.nics if nic.role == "peer"}
    for (driver, firmware), group in groupby(duts, key=lambda n: (n.driver, n.firmware)):
        yield ReportLine("")
        yield ReportLine(f"driver {driver}, firmware {firmware}", "title")
        for dut in group:
            cells = [cell for cell in matrix.cells if cell.pair == dut.pair]
            yield from _pair(dut, peers[dut.pair], cells)
            yield from _explained(cells, dut.driver, matrix.run.confidence, width)
            for symptom in matrix.symptoms:
                if symptom.pair == dut.pair:
                    yield from _felt(symptom, width)
    used = {cell.verdict for cell in matrix.cells}
    legend = [f"{LETTERS[v]} {_MEANINGS[v]}" for v in Verdict if v in used]
    words = [
        text.replace(" ", "\xa0") for text in (*legend, *_LETTERS_OF_TRAFFIC)
    ]  # not to be broken
    yield ReportLine("")
    yield from (ReportLine(text.replace("\xa0", " ")) for text in wrap("  ".join(words), width))


def _pair(dut: NicRow, peer: NicRow, cells: Sequence[CellRow]) -> Iterator[ReportLine]:
    mtu = min(dut.mtu, peer.mtu)
    yield ReportLine(
        f"  {dut.pair}: {dut.host} {dut.interface} -> {peer.host} {peer.interface}"
        f", kernel {dut.kernel}{f', MTU {mtu:,}' if mtu != _ORDINARY_MTU else ''}"
        f"{f', judged by {peer.verifier}' if peer.verifier else ''}"
    )
    if not cells:
        return
    # By name, which puts plain traffic behind tunnels; what ran first may be a part of a group.
    flows = sorted(
        {_column(cell) for cell in cells},
        key=lambda column: (*column[:2], _ORDER_OF_TRAFFIC.index(column[2])),
    )
    sets: dict[str, dict[_Column, CellRow]] = {}
    for cell in cells:
        sets.setdefault(_line(cell), {})[_column(cell)] = cell
    label = max([len("offload set"), *map(len, sets)], default=0)
    places = _places(flows)
    yield from (ReportLine(f"  {text}") for text in _heads(flows, places, label))
    for name, row in sets.items():
        marks = [LETTERS[row[flow].verdict] if flow in row else " " for flow in flows]
        verdicts = {cell.verdict for cell in row.values()}
        yield ReportLine(f"  {name:<{label}}  {_spaced(places, marks)}".rstrip(), _tone(verdicts))


def _line(cell: CellRow) -> str:
    """A cell's row: "all-on", "all-on boundaries @reset", "all-on lengths vlan-nic"."""
    flow = cell.flow
    state = f"@{flow.state}" if flow.state else ""
    port = f":{flow.port}" if flow.state == "two-ports" else ""
    vlan = f"vlan-{flow.vlan}" if flow.vlan else ""
    load = f"+{flow.load}" if flow.load else ""
    return " ".join(filter(None, (cell.set_id, flow.packet_set, vlan, load, state + port)))


def _column(cell: CellRow) -> _Column:
    flow = cell.flow
    traffic = _TRAFFIC[flow.l4, flow.segmentation]
    if not flow.tunnel:
        return f"plain{flow.outer}", "", traffic
    kind = "csum" if flow.outer_checksum else "nocsum"
    return f"outer{flow.outer}-{kind}", f"inner{flow.inner}", traffic


def _places(flows: Sequence[_Column]) -> list[int]:
    """Where each column stands: groups apart from each other, and heads from the next ones."""
    places: list[int] = []
    behind = [0, 0]  # where the last head of an outer variant ends, and of an inner family
    for index, flow in enumerate(flows):
        place = places[-1] + 2 if places else 0
        level = _changed(flows, index)
        if index and level < 2:
            place = max(place, *behind[level:]) + 2 - level
        for head in range(level, 2):
            behind[head] = place + len(str(flow[head]))
        places.append(place)
    return places


def _changed(flows: Sequence[_Column], index: int) -> int:
    """The outermost level in which a column differs from the one before it."""
    if index == 0:
        return 0
    pairs = enumerate(zip(flows[index], flows[index - 1], strict=True))
    return next(level for level, (this, before) in pairs if this != before)


def _spaced(places: Sequence[int], texts: Sequence[str]) -> str:
    """Each text at its place."""
    line = ""
    for place, text in zip(places, texts, strict=True):
        line = f"{line:<{place}}{text}" if text else line
    return line


def _heads(flows: Sequence[_Column], places: Sequence[int], label: int) -> Iterator[str]:
    """Three lines above the columns: outer variant, inner family, traffic."""
    for level, title in enumerate(("", "offload set", "")):
        texts = [
            str(flow[level]) if _changed(flows, index) <= level else ""
            for index, flow in enumerate(flows)
        ]
        yield f"{title:<{label}}  {_spaced(places, texts)}"


def _tone(verdicts: set[Verdict]) -> str:
    if Verdict.FAIL in verdicts or Verdict.LOSS in verdicts:
        return "bad"
    if verdicts <= {Verdict.PASS, Verdict.NOT_EXERCISED, Verdict.UNSUPPORTED}:
        return "good" if Verdict.PASS in verdicts else ""
    return "doubt"


def _explained(
    cells: Sequence[CellRow], driver: str, confidence: float, width: int
) -> Iterator[ReportLine]:
    """What all cells come to; a sentence for each that fails; for others, one a reason."""
    # A crafted packet set is a fixed set of few frames: it would say little of rates.
    bulk = [cell for cell in cells if not cell.flow.packet_set]
    excluded = aggregate.excludes(bulk, driver, confidence)
    if excluded is not None:
        yield from _wrapped(excluded, width, "good")
    where = failure_conditions.separates(bulk, driver)
    if where is not None:
        yield from _wrapped(f"{cells[0].pair}: {where}", width, "bad")
    failing = [cell for cell in cells if cell.verdict in (Verdict.FAIL, Verdict.LOSS)]
    for cell in failing[:_MOST_EXPLAINED]:
        did = f"; {cell.signature}" if cell.signature else ""
        yield from _wrapped(f"{cell.verdict} {cell.id}: {cell.reason}{did}", width, "bad")
    if len(failing) > _MOST_EXPLAINED:
        more = len(failing) - _MOST_EXPLAINED
        yield ReportLine(f"  and {more} more like them; matrix.json has a sentence for each", "bad")
    quiet = {Verdict.PASS, Verdict.FAIL, Verdict.LOSS, Verdict.UNSUPPORTED}
    doubts = [cell for cell in cells if cell.verdict not in quiet]
    reasons: dict[tuple[Verdict, str], list[CellRow]] = {}
    for cell in doubts:
        why = cell.expectation if cell.verdict is Verdict.KNOWN else None
        reasons.setdefault((cell.verdict, why or cell.reason), []).append(cell)
    for (verdict, _), alike in list(reasons.items())[:_MOST_EXPLAINED]:
        others = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
        first = alike[0]
        yield from _wrapped(f"{verdict} {first.id}{others}: {first.reason}", width, "doubt")
    if len(reasons) > _MOST_EXPLAINED:
        rest = len(reasons) - _MOST_EXPLAINED
        yield ReportLine(f"  and {rest} more reasons; matrix.json has a sentence for each", "doubt")


def _felt(symptom: Symptom, width: int) -> Iterator[ReportLine]:
    yield from _wrapped(f"symptom of {symptom.pair}: {symptom.errors}", width, "")
    yield from _wrapped(f"    {symptom.pace}", width, "")


def _wrapped(text: str, width: int, tone: str) -> Iterator[ReportLine]:
    # An id that is broken in two cannot be copied.
    lines = wrap(
        text,
        max(40, width - 4),
        initial_indent="  ",
        subsequent_indent="      ",
        break_on_hyphens=False,
        break_long_words=False,
    )
    return (ReportLine(line, tone) for line in lines)
