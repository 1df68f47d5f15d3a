"""The matrix of a pair as a table: a row for each offload set, a column for each flow."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qualification.judge.result_row import CellRow, FlowRow
from qualification.judge.verdict import Verdict
from qualification.results.matrix import NicRow

from .report_line import LETTERS, ReportLine

TRAFFIC_LEGEND = ("t TCP", "u UDP", "s UDP segmented")
_TRAFFIC = {("tcp", True): "t", ("tcp", False): "t", ("udp", False): "u", ("udp", True): "s"}
_TRAFFIC_ORDER = "tus"
_ORDINARY_MTU = 1500

_Column = tuple[str, str, str]
"""Outer variant, inner family, traffic; plain traffic has no inner family."""


def pair_table(dut: NicRow, peer: NicRow, cells: Sequence[CellRow]) -> Iterator[ReportLine]:
    """Yields the table of a pair, below a line that names its hosts and interfaces.

    Args:
        dut: The NIC that was qualified.
        peer: The NIC that watched it.
        cells: The cells of the pair.
    """
    mtu = min(dut.mtu, peer.mtu)
    yield ReportLine(
        f"  {dut.pair}: {dut.host} {dut.interface} -> {peer.host} {peer.interface}"
        f", kernel {dut.kernel}{f', MTU {mtu:,}' if mtu != _ORDINARY_MTU else ''}"
        f"{f', judged by {peer.verifier}' if peer.verifier else ''}"
    )
    if dut.hypervisor:
        guest = " ".join(filter(None, (dut.machine, dut.hardware_version)))
        yield ReportLine(f"  guest of {dut.hypervisor}{f': {guest}' if guest else ''}")
    if dut.pace_reason:
        yield ReportLine(f"  at {dut.pace:,} frames/s: with all offloads off, {dut.pace_reason}")
    if not cells:
        return
    # By name, which puts plain traffic after tunnels. The first cell may lack a part of its group.
    flows = sorted(
        {_column(cell) for cell in cells},
        key=lambda column: (*column[:2], _TRAFFIC_ORDER.index(column[2])),
    )
    sets: dict[str, dict[_Column, CellRow]] = {}
    for cell in cells:
        sets.setdefault(_row_name(cell), {})[_column(cell)] = cell
    label = max([len("offload set"), *map(len, sets)], default=0)
    positions = _positions(flows)
    yield from (ReportLine(f"  {text}") for text in _heads(flows, positions, label))
    for name, row in sets.items():
        marks = [LETTERS[row[flow].verdict] if flow in row else " " for flow in flows]
        verdicts = {cell.verdict for cell in row.values()}
        yield ReportLine(
            f"  {name:<{label}}  {_spaced(positions, marks)}".rstrip(), _tone(verdicts)
        )


def _row_name(cell: CellRow) -> str:
    """Returns the name of a cell's row, such as "all-on" or "all-on boundaries @reset"."""
    return " ".join(filter(None, (cell.set_id, traffic_kind(cell.flow))))


def traffic_kind(flow: FlowRow) -> str:
    """Returns the kind of a flow's traffic, such as "boundaries @reset"; empty for bulk traffic."""
    state = f"@{flow.state}" if flow.state else ""
    port = f":{flow.port}" if flow.state == "two-ports" else ""
    vlan = f"vlan-{flow.vlan}" if flow.vlan else ""
    load = f"+{flow.load}" if flow.load else ""
    return " ".join(filter(None, (flow.packet_set, vlan, load, state + port)))


def _column(cell: CellRow) -> _Column:
    flow = cell.flow
    traffic = _TRAFFIC[flow.l4, flow.segmentation]
    if not flow.tunnel:
        return f"plain{flow.outer}", "", traffic
    kind = "csum" if flow.outer_checksum else "nocsum"
    return f"outer{flow.outer}-{kind}", f"inner{flow.inner}", traffic


def _positions(flows: Sequence[_Column]) -> list[int]:
    """Returns the position of each column: groups and their heads are set apart."""
    positions: list[int] = []
    ends = [0, 0]  # where the last head of an outer variant ends, and that of an inner family
    for index, flow in enumerate(flows):
        position = positions[-1] + 2 if positions else 0
        level = _changed(flows, index)
        if index and level < 2:
            position = max(position, *ends[level:]) + 2 - level
        for head in range(level, 2):
            ends[head] = position + len(str(flow[head]))
        positions.append(position)
    return positions


def _changed(flows: Sequence[_Column], index: int) -> int:
    """Returns the outermost level in which a column differs from the one before it."""
    if index == 0:
        return 0
    pairs = enumerate(zip(flows[index], flows[index - 1], strict=True))
    return next(level for level, (this, before) in pairs if this != before)


def _spaced(positions: Sequence[int], texts: Sequence[str]) -> str:
    """Returns a line with each text at its position."""
    line = ""
    for position, text in zip(positions, texts, strict=True):
        line = f"{line:<{position}}{text}" if text else line
    return line


def _heads(flows: Sequence[_Column], positions: Sequence[int], label: int) -> Iterator[str]:
    """Yields three lines above the columns: outer variant, inner family, traffic."""
    for level, title in enumerate(("", "offload set", "")):
        texts = [
            str(flow[level]) if _changed(flows, index) <= level else ""
            for index, flow in enumerate(flows)
        ]
        yield f"{title:<{label}}  {_spaced(positions, texts)}"


def _tone(verdicts: set[Verdict]) -> str:
    if Verdict.FAIL in verdicts or Verdict.LOSS in verdicts:
        return "bad"
    if verdicts <= {Verdict.PASS, Verdict.NOT_EXERCISED, Verdict.UNSUPPORTED}:
        return "good" if Verdict.PASS in verdicts else ""
    return "doubt"
