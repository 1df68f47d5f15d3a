"""Metrics of a run for the textfile collector of Prometheus' node_exporter.

docs/metrics.md explains each one; `reports/metrics/alerts.yaml` has the alert rules that use them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from qualification.errors import UsageError
from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict
from qualification.results.conclusion import RunOutcome
from qualification.results.matrix import Matrix, NicRow
from qualification.results.terminal.overview import outcome

from . import writing

SUFFIX = ".prom"
"""What the textfile collector reads; it leaves out files of any other name."""
LABELS = ("pair", "host", "interface", "driver", "firmware")
"""The labels of every metric of a NIC."""
_READABLE = 0o644
"""node_exporter runs as a user of its own."""


class _Run(Collector):
    """The metrics of one run, which do not change."""

    def __init__(self, matrix: Matrix, last: Mapping[str, datetime]) -> None:
        self._matrix, self._last = matrix, last

    def collect(self) -> Iterator[Metric]:
        """Yields each metric with its samples, a sample for each DUT and value."""
        duts = [nic for nic in self._matrix.nics if nic.role == "dut"]
        cells = {nic.pair: self._cells(nic) for nic in duts}
        outcomes = {nic.pair: outcome(self._matrix, nic.pair) for nic in duts}

        info = _gauge(
            "vxqual_nic_info",
            "The DUT of a pair, and the run that tells of it; always 1",
            *("kernel", "pci_id", "serial", "run", "plan", "version"),
        )
        qualified = _gauge("vxqual_qualified", "1 if the NIC is QUALIFIED, else 0")
        ended = _gauge("vxqual_outcome", "1 for how the NIC ended in the run, 0 else", "outcome")
        verdicts = _gauge("vxqual_cells", "Cells by verdict", "verdict")
        last = _gauge(
            "vxqual_last_qualified_timestamp_seconds",
            "When the last run began in which the NIC was QUALIFIED with this driver and firmware",
        )
        started = _gauge("vxqual_run_start_timestamp_seconds", "When the run began")
        frames = _gauge("vxqual_frames", "Frames that were judged in all cells")
        wrong = _gauge("vxqual_wrong_frames", "Wrong ones among them")
        lost = _gauge("vxqual_lost_frames", "Frames that were lost in all cells")
        ratio = _gauge(
            "vxqual_worst_cell_corruption_ratio",
            "Share of wrong frames in the cell with the most, and the bounds of its interval",
            *("cell", "bound"),
        )
        off = _gauge("vxqual_mitigation", "A feature to turn off on the NIC; always 1", "feature")
        for nic in duts:
            of, labels = cells[nic.pair], _labels(nic)
            about = self._matrix.run
            more = (nic.kernel, nic.pci_id or "", nic.serial or "")
            info.add_metric([*labels, *more, about.id, about.plan, about.version], 1)
            qualified.add_metric(labels, outcomes[nic.pair] is RunOutcome.QUALIFIED)
            for one in RunOutcome:
                ended.add_metric([*labels, str(one)], outcomes[nic.pair] is one)
            counted = Counter(cell.verdict for cell in of)
            for verdict in Verdict:
                verdicts.add_metric([*labels, str(verdict)], counted[verdict])
            began = datetime.fromisoformat(about.started)
            started.add_metric(labels, began.timestamp())
            at = began if outcomes[nic.pair] is RunOutcome.QUALIFIED else self._last.get(nic.pair)
            if at is not None:
                last.add_metric(labels, at.timestamp())
            frames.add_metric(labels, sum(cell.frames for cell in of))
            wrong.add_metric(labels, sum(cell.bad for cell in of))
            lost.add_metric(labels, sum(cell.lost for cell in of))
            for feature in self._matrix.mitigation.get(nic.pair, []):
                off.add_metric([*labels, feature], 1)
            worst = worst_cell(of)
            if worst is not None and worst.rate is not None:
                bounds = {"low": worst.rate_low, "value": worst.rate, "high": worst.rate_high}
                for bound, share in bounds.items():
                    ratio.add_metric([*labels, worst.id, bound], share)
        yield from (
            info,
            qualified,
            ended,
            verdicts,
            last,
            started,
            frames,
            wrong,
            lost,
            ratio,
            off,
        )

    def _cells(self, nic: NicRow) -> list[CellRow]:
        return [cell for cell in self._matrix.cells if cell.pair == nic.pair]


def worst_cell(cells: list[CellRow]) -> CellRow | None:
    """Returns the cell with the highest share of wrong frames, of equal ones the least certain.

    Where every cell passes, its upper bound is the rate that all of them exclude.
    """
    measured = [cell for cell in cells if cell.rate is not None]
    return max(measured, key=lambda cell: (cell.rate or 0.0, cell.rate_high), default=None)


def exposition(matrix: Matrix, last: Mapping[str, datetime]) -> bytes:
    """Returns the metrics of a run in Prometheus' text format, which escapes every label.

    Args:
        matrix: The run.
        last: When the NIC of a pair was last qualified in an earlier run, by pair.
    """
    registry = CollectorRegistry()
    registry.register(_Run(matrix, last))
    return generate_latest(registry)


def check(path: Path) -> None:
    """Checks the name of a file of metrics.

    Raises:
        UsageError: node_exporter would not read it.
    """
    if path.suffix != SUFFIX:
        raise UsageError(
            f"node_exporter reads files that end in {SUFFIX} alone",
            where=str(path),
            hint=f"give a name such as {path.with_suffix(SUFFIX)}",
        )


def write(content: bytes, path: Path) -> None:
    """Writes metrics to a file that everybody can read, completely or not at all.

    Raises:
        UsageError: It cannot be written, or node_exporter would not read it.
    """
    check(path)
    writing.write(content, path, _READABLE)


def _gauge(name: str, help_: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help_, labels=[*LABELS, *labels])


def _labels(nic: NicRow) -> list[str]:
    return [nic.pair, nic.host, nic.interface, nic.driver, nic.firmware]
