"""What the site keeps of a run, so that one more run does not have all others read again."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from qualification.judge.result_row import CellRow
from qualification.judge.verdict import Verdict
from qualification.results.conclusion import pair_outcome
from qualification.results.matrix import Matrix, NicRow

_FAILING = (Verdict.FAIL, Verdict.LOSS)


@dataclass(frozen=True)
class NicSummary:
    """A NIC in a run.

    Attributes:
        pair: Name of the pair.
        pci_id: Vendor and device of the chip, "8086:1572", which is the model; empty for a NIC that
            has none, such as a virtual one.
        pci_subsystem: Vendor and device of the board; empty where that is not known.
        serial: Serial number; empty where that is not known.
        outcome: How the pair ended, one of `RunOutcome`.
        failing: Number of its cells that fail.
        cells: Number of its cells.
        cell: Id of the failing cell with the highest rate; empty if none fails.
        reason: What was seen in it, in a sentence.
        rate: The rate in it; 0 if none fails.
        low: Lower bound of the rate at the confidence of the run.
        high: Upper bound; where none fails, the highest rate that the cells that passed exclude.
        culprit: The features whose turning off heals; empty where that is not known.
        mitigation: The features to turn off on the DUT.
    """

    pair: str
    host: str
    interface: str
    pci_id: str
    pci_subsystem: str
    serial: str
    driver: str
    firmware: str
    kernel: str
    outcome: str
    failing: int
    cells: int
    cell: str
    reason: str
    rate: float
    low: float
    high: float
    culprit: tuple[str, ...]
    mitigation: tuple[str, ...]


@dataclass(frozen=True)
class RunSummary:
    """A run.

    Attributes:
        id: Its id.
        started: When it started (ISO 8601, UTC, so that texts sort as times do).
        outcome: How it ended, one of `RunOutcome`.
        plan: The plan.
        topology: The topology file.
        version: The version of vxqual.
        nics: The NICs.
    """

    id: str
    started: str
    outcome: str
    plan: str
    topology: str
    version: str
    nics: tuple[NicSummary, ...]


def summary_of(made: Matrix) -> RunSummary:
    """Returns what is kept of a run."""
    by_pair: dict[str, list[CellRow]] = {}
    for cell in made.cells:
        by_pair.setdefault(cell.pair, []).append(cell)
    run = made.run
    return RunSummary(
        run.id,
        utc(run.started),
        str(run.outcome),
        run.plan,
        run.topology,
        run.version,
        tuple(_nic(made, nic, by_pair.get(nic.pair, [])) for nic in made.nics if nic.role == "dut"),
    )


def utc(text: str) -> str:
    """Returns a time in UTC; what is no time, as no run writes it, stays as it is."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError):
        return text


def _nic(made: Matrix, nic: NicRow, cells: list[CellRow]) -> NicSummary:
    failing = [cell for cell in cells if cell.verdict in _FAILING]
    # Crafted packet sets have few frames, which say little about rates.
    worst = max(failing, key=lambda c: (not c.flow.packet_set, c.rate or 0.0), default=None)
    passed = [c.rate_high for c in cells if c.verdict is Verdict.PASS and not c.flow.packet_set]
    culprits = dict.fromkeys(name for cell in failing for name in cell.culprit or ())
    return NicSummary(
        nic.pair,
        nic.host,
        nic.interface,
        nic.pci_id or "",
        nic.pci_subsystem or "",
        nic.serial or "",
        nic.driver,
        nic.firmware,
        nic.kernel,
        str(pair_outcome(made.run.outcome, made.run.completeness, nic.pair, cells)),
        len(failing),
        len(cells),
        worst.id if worst else "",
        worst.reason if worst else "",
        (worst.rate or 0.0) if worst else 0.0,
        worst.rate_low if worst else 0.0,
        worst.rate_high if worst else max(passed, default=1.0),
        tuple(culprits),
        tuple(made.mitigation.get(nic.pair, ())),
    )
