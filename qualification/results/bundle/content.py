"""What a bundle says: chosen cells of one NIC with all that the run has stored of them, masked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import TypeAdapter

from qualification import __version__
from qualification.judge.culprit import failure_conditions
from qualification.judge.culprit.cost import Cost
from qualification.judge.evidence import Evidence
from qualification.judge.result_row import CellRow
from qualification.messages.bursts import BadFrame
from qualification.plan.features import RULES
from qualification.printable import inert
from qualification.results.matrix import Matrix, NicRow, RunRow
from qualification.results.page.details import detail_of
from qualification.results.page.evidence_model import PageDetail
from qualification.results.run_directory import StoredRun
from qualification.results.terminal.culprit_lines import Remedy, remedies

from .captures import CellCaptures, captures
from .found import facts, pci
from .masking import Mask
from .reproduction import Reproduction, not_shown, reproduction

_FRAMES_SHOWN = 5


@dataclass(frozen=True)
class Culprit:
    """A culprit of chosen cells.

    Attributes:
        off: The features whose turning off heals; empty where none is known.
        device: "nic" or "vxlan".
        cells: How many failing cells share it.
        reason: The proof in a sentence, or why no culprit is known.
        chance: Probability of such a difference by chance; None without a proof.
    """

    off: tuple[str, ...]
    device: str
    cells: int
    reason: str
    chance: float | None


@dataclass(frozen=True)
class Annex:
    """One cell.

    Attributes:
        row: Its result.
        detail: What the verdict rests on.
        captures: Its captures; of the findings those of the first frames.
        command: How its features are set by hand.
        unshown: Why reproduce.py does not show what is wrong here; empty if it does.
    """

    row: CellRow
    detail: PageDetail
    captures: CellCaptures
    command: str
    unshown: str


@dataclass(frozen=True)
class Bundle:
    """What the report shows.

    Attributes:
        version: Of the vxqual that makes the bundle.
        masked: Whether secrets are masked.
        run: The run.
        dut: The NIC.
        peer: The NIC that watched it.
        facts: What the hosts said of NIC and host: name, on the DUT, on the peer.
        pci: What lspci says of the NIC, and of the peer, by lines; empty where it was not there.
        features: Features: name, whether it can be changed, was requested and was in effect.
        failing: How many cells of the NIC fail.
        judged: How many there are.
        conditions: Exactly where it fails, if that can be said.
        symptoms: What an application notices.
        culprits: The culprits of the chosen cells.
        remedies: The commands that heal.
        cost: What the mitigation costs.
        annexes: The chosen cells, the most telling one first.
        reproduction: What reproduce.py does; None where the fault cannot be shown by it.
    """

    version: str
    masked: bool
    run: RunRow
    dut: NicRow
    peer: NicRow
    facts: tuple[tuple[str, str, str], ...]
    pci: tuple[tuple[str, ...], tuple[str, ...]]
    features: tuple[tuple[str, bool, bool, bool], ...]
    failing: int
    judged: int
    conditions: str
    symptoms: tuple[str, ...]
    culprits: tuple[Culprit, ...]
    remedies: tuple[Remedy, ...]
    cost: Cost | None
    annexes: tuple[Annex, ...]
    reproduction: Reproduction | None


_ADAPTER = TypeAdapter(Bundle)


@dataclass(frozen=True)
class Made:
    """A bundle before it is written.

    Attributes:
        document: The `Bundle` as JSON types: masked, and each text harmless to show.
        captures: The capture files by name, masked.
        reproduction: See `Bundle`; masked.
    """

    document: dict[str, Any]
    captures: dict[str, bytes]
    reproduction: Reproduction | None


def make(run: StoredRun, matrix: Matrix, chosen: Sequence[CellRow], mask: Mask) -> Made:
    """Returns the bundle of chosen cells of one pair.

    Args:
        run: The stored run.
        matrix: Its results.
        chosen: The rows of the cells, of one pair; at least one.
        mask: The mask.
    """
    pair = chosen[0].pair
    dut, peer = (
        next(nic for nic in matrix.nics if (nic.pair, nic.role) == (pair, role))
        for role in ("dut", "peer")
    )
    rows = [row for row in matrix.cells if row.pair == pair]
    ends = run.campaign.ends(pair)
    cost = next((cost for cost in matrix.costs if cost.pair == pair), None)
    found = run.culprits.get(pair)
    files: dict[str, bytes] = {}
    annexes = []
    shows = reproduction(chosen, rows)
    for row in chosen:
        said, made = captures(mask.text(row.id), _samples(_evidence(run, row)), _port(row), mask)
        files |= made
        annexes.append(_annex(run, row, dut, said, not_shown(row, shows)))
    bundle = Bundle(
        version=__version__,
        masked=mask.on,
        run=replace(matrix.run, topology=matrix.run.topology.rpartition("/")[2]),
        dut=dut,
        peer=peer,
        facts=tuple(facts(ends.dut, ends.peer)),
        pci=(pci(ends.dut, mask), pci(ends.peer, mask)),
        features=tuple(
            (name, one.hw, one.wanted, one.active)
            for name in RULES
            for one in [ends.dut.facts.features.get(name)]
            if one is not None
        ),
        failing=sum(row.verdict in ("FAIL", "LOSS") for row in rows),
        judged=sum(row.frames > 0 for row in rows),
        conditions=failure_conditions.describe(
            [row for row in rows if not row.flow.packet_set], dut.driver
        )
        or "",
        symptoms=tuple(
            text for one in matrix.symptoms if one.pair == pair for text in (one.errors, one.pace)
        ),
        culprits=tuple(
            Culprit(
                group.off,
                group.device,
                len(group.cells),
                group.reason,
                group.proof.chance if group.proof else None,
            )
            for group in (found.findings if found else ())
            if {row.id for row in chosen} & set(group.cells)
        ),
        remedies=tuple(remedies(found, dut, peer, cost)) if found else (),
        cost=cost,
        annexes=tuple(annexes),
        reproduction=shows,
    )
    document = mask.value(inert(_ADAPTER.dump_python(bundle, mode="json")))
    return Made(document, files, replace(shows, cell=mask.text(shows.cell)) if shows else None)


def _annex(run: StoredRun, row: CellRow, dut: NicRow, said: CellCaptures, unshown: str) -> Annex:
    evidence = _evidence(run, row)
    detail = detail_of(evidence, _port(row), run.campaign.demand.confidence)
    switches = [f"{name} {'on' if on else 'off'}" for name, on in row.requested.items()]
    return Annex(
        row,
        replace(detail, frame=None),  # which is not masked
        replace(said, findings=said.findings[:_FRAMES_SHOWN]),
        f"ethtool -K {dut.interface} {' '.join(switches)}" if switches else "",
        unshown,
    )


def _evidence(run: StoredRun, row: CellRow) -> Evidence:
    entry = run.entries.get(row.id)
    return entry.evidence if entry and entry.evidence else Evidence({})


def _samples(evidence: Evidence) -> list[BadFrame]:
    frames = [frame for burst in evidence.bursts for frame in burst.received.captured.samples]
    return frames + [frame for result in evidence.received for frame in result.samples]


def _port(row: CellRow) -> int:
    return row.flow.port if row.flow.tunnel else 0
