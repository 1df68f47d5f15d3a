"""The matrix as people read it in a terminal: a row per offload set, a column per flow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from textwrap import wrap

from qualification.judge.ruling import CellRow
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
}
_TRAFFIC = {("tcp", True): "t", ("udp", False): "u", ("udp", True): "s"}
_MOST_EXPLAINED = 12


@dataclass(frozen=True)
class Line:
    """A line of the report; `tone` is "good", "bad", "doubt", "title" or "" for plain."""

    text: str
    tone: str = ""


def render(matrix: Matrix, width: int = 100) -> Iterator[Line]:
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
        yield Line("")
        yield Line(f"driver {driver}, firmware {firmware}", "title")
        for dut in group:
            cells = [cell for cell in matrix.cells if cell.pair == dut.pair]
            yield from _pair(dut, peers[dut.pair], cells, width)
    used = {cell.verdict for cell in matrix.cells}
    legend = "  ".join(f"{LETTERS[v]} {_MEANINGS[v]}" for v in Verdict if v in used)
    yield Line("")
    yield Line(f"{legend}    t TCP  u UDP  s UDP segmented")


def _pair(dut: NicRow, peer: NicRow, cells: Sequence[CellRow], width: int) -> Iterator[Line]:
    yield Line(
        f"  {dut.pair}: {dut.host} {dut.interface} -> {peer.host} {peer.interface}"
        f", kernel {dut.kernel}"
    )
    flows = list(dict.fromkeys(_column(cell) for cell in cells))
    sets: dict[str, dict[tuple[object, ...], CellRow]] = {}
    for cell in cells:
        sets.setdefault(_set_id(cell), {})[_column(cell)] = cell
    label = max([len("offload set"), *map(len, sets)], default=0)
    yield from (Line(f"  {text}") for text in _heads(flows, label))
    for name, row in sets.items():
        marks = [LETTERS[row[flow].verdict] if flow in row else " " for flow in flows]
        verdicts = {cell.verdict for cell in row.values()}
        yield Line(f"  {name:<{label}}  {_spaced(flows, marks)}", _tone(verdicts))
    yield from _explained(cells, width)


def _set_id(cell: CellRow) -> str:
    """The middle of "pair/set/flow"."""
    return cell.id[len(cell.pair) + 1 : -len(cell.flow.id) - 1]


def _column(cell: CellRow) -> tuple[object, ...]:
    flow = cell.flow
    kind = "csum" if flow.outer_checksum else "nocsum"
    return f"outer{flow.outer}-{kind}", f"inner{flow.inner}", _TRAFFIC[flow.l4, flow.segmentation]


def _spaced(flows: Sequence[tuple[object, ...]], marks: Sequence[str]) -> str:
    """Marks side by side, a space between inner families and two between outer variants."""
    text = ""
    for index, mark in enumerate(marks):
        if index and flows[index][0] != flows[index - 1][0]:
            text += "  "
        elif index and flows[index][1] != flows[index - 1][1]:
            text += "   "
        text += mark + " " if index + 1 < len(marks) else mark
    return text


def _heads(flows: Sequence[tuple[object, ...]], label: int) -> Iterator[str]:
    """Three lines above the columns: outer variant, inner family, traffic."""
    plain = _spaced(flows, [str(flow[2]) for flow in flows])
    for level in (0, 1):
        line = ""
        at = 0
        for index, flow in enumerate(flows):
            at = plain.index(str(flow[2]), at)
            if index == 0 or flow[: level + 1] != flows[index - 1][: level + 1]:
                line = f"{line:<{at}}{flow[level]}"
            at += 1
        title = "offload set" if level == 1 else ""
        yield f"{title:<{label}}  {line}"
    yield f"{'':<{label}}  {plain}"


def _tone(verdicts: set[Verdict]) -> str:
    if Verdict.FAIL in verdicts or Verdict.LOSS in verdicts:
        return "bad"
    if verdicts <= {Verdict.PASS, Verdict.NOT_EXERCISED, Verdict.UNSUPPORTED}:
        return "good" if Verdict.PASS in verdicts else ""
    return "doubt"


def _explained(cells: Iterable[CellRow], width: int) -> Iterator[Line]:
    """A sentence for each cell that fails; for other doubts, one for each reason."""
    failing = [cell for cell in cells if cell.verdict in (Verdict.FAIL, Verdict.LOSS)]
    for cell in failing[:_MOST_EXPLAINED]:
        yield from _wrapped(f"{cell.verdict} {cell.id}: {cell.reason}", width, "bad")
    if len(failing) > _MOST_EXPLAINED:
        more = len(failing) - _MOST_EXPLAINED
        yield Line(f"  and {more} more like them; matrix.json has a sentence for each", "bad")
    quiet = {Verdict.PASS, Verdict.FAIL, Verdict.LOSS, Verdict.UNSUPPORTED}
    doubts = [cell for cell in cells if cell.verdict not in quiet]
    reasons: dict[tuple[Verdict, str], list[str]] = {}
    for cell in doubts:
        reasons.setdefault((cell.verdict, cell.reason), []).append(cell.id)
    for (verdict, reason), ids in list(reasons.items())[:_MOST_EXPLAINED]:
        others = f" and {len(ids) - 1} more" if len(ids) > 1 else ""
        yield from _wrapped(f"{verdict} {ids[0]}{others}: {reason}", width, "doubt")


def _wrapped(text: str, width: int, tone: str) -> Iterator[Line]:
    lines = wrap(text, max(40, width - 4), initial_indent="  ", subsequent_indent="      ")
    return (Line(line, tone) for line in lines)
