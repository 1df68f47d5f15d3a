"""From the results of a run to what the page shows of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from qualification.judge.culprit import failure_conditions
from qualification.judge.culprit.findings import CulpritFindings
from qualification.judge.outcome import NEVER_RAN
from qualification.judge.result_row import CellRow, FlowRow
from qualification.judge.verdict import Verdict
from qualification.plan.features import RECEIVING, RULES
from qualification.results.conclusion import RunOutcome, pair_outcome
from qualification.results.matrix import Matrix, NicRow
from qualification.results.terminal.culprit_lines import remedies
from qualification.results.terminal.explanations import alike, faults
from qualification.results.terminal.report import headline, sorted_duts
from qualification.results.terminal.table import traffic_kind

from .evidence_model import PageDetail
from .model import (
    Command,
    Effect,
    Page,
    PageCell,
    PageCulprit,
    PageFault,
    PageFlow,
    PageNic,
    PageRun,
    PageSet,
)

BULK = "bulk traffic"
RUNNING = "RUNNING"
_MOST_FAULTS = 12
_DOUBTFUL = (Verdict.ERROR, Verdict.UNTRUSTED, Verdict.INCONCLUSIVE)

Row = TypeVar("Row")


@dataclass(frozen=True)
class PageInput:
    """What a page is made of.

    Attributes:
        matrix: The results, as far as they came.
        details: What the verdicts rest on, by cell.
        findings: What the search for culprits found.
        written: When the page is written (ISO 8601, with zone).
        live: Whether the run goes on.
        troubles: Errors of the lab, and notes on the files of the run.
    """

    matrix: Matrix
    details: Mapping[str, PageDetail]
    findings: Sequence[CulpritFindings]
    written: str
    live: bool = False
    troubles: tuple[str, ...] = ()


@dataclass
class _Table(Generic[Row]):
    """Numbers distinct rows in the order in which they come."""

    rows: list[Row] = field(default_factory=list)
    places: dict[object, int] = field(default_factory=dict)

    def place(self, key: object, row: Row) -> int:
        if key not in self.places:
            self.places[key] = len(self.rows)
            self.rows.append(row)
        return self.places[key]


def build(given: PageInput) -> Page:
    """Returns what the page of a run shows."""
    made = given.matrix
    by_pair: dict[str, list[CellRow]] = {}
    for cell in made.cells:
        by_pair.setdefault(cell.pair, []).append(cell)
    nics = [
        _nic(given, dut, [c for c in by_pair.get(dut.pair, ()) if c.reason != NEVER_RAN])
        for dut in sorted_duts(made)
    ]
    nics.sort(key=lambda nic: nic.outcome != RunOutcome.NOT_QUALIFIED)
    features = _features(made.cells)
    sets = _sets(made.cells, features)
    nic_places = {nic.pair: place for place, nic in enumerate(nics)}
    set_places = {one.id: place for place, one in enumerate(sets)}
    states: _Table[dict[str, bool]] = _Table()
    flows: _Table[PageFlow] = _Table()
    cells = [
        PageCell(
            id=cell.id,
            nic=nic_places[cell.pair],
            set=set_places[cell.set_id],
            flow=flows.place(cell.flow.id, _flow(cell.flow)),
            requested=states.place(tuple(cell.requested.items()), cell.requested),
            effective=states.place(tuple(cell.effective.items()), cell.effective),
            verdict=str(cell.verdict),
            reason=cell.reason,
            ran=cell.reason != NEVER_RAN,
            frames=cell.frames,
            bad=cell.bad,
            lost=cell.lost,
            rate=cell.rate,
            low=cell.rate_low,
            high=cell.rate_high,
            signature=cell.signature or "",
            culprit=tuple(cell.culprit or ()),
            expectation=cell.expectation or "",
            wire=cell.wire,
            detail=given.details.get(cell.id),
        )
        for cell in made.cells
    ]
    return Page(
        _run(given),
        tuple((name, RULES[name].short) for name in features),
        tuple(nics),
        tuple(sets),
        tuple(flows.rows),
        tuple(states.rows),
        tuple(cells),
    )


def _run(given: PageInput) -> PageRun:
    made, run = given.matrix, given.matrix.run
    done = run.completeness
    line = headline(made).text
    if given.live:
        count = f"{done.run:,} of {done.selected:,} cells done"
        failing = sum(c.verdict in ("FAIL", "LOSS") for c in made.cells)
        line = f"{RUNNING}: {count}{f', {failing:,} of them fail' if failing else ''}"
    return PageRun(
        id=run.id,
        started=run.started,
        finished=run.finished or "",
        written=given.written,
        live=given.live,
        version=f"{run.version} {run.commit or ''}".rstrip(),
        topology=run.topology,
        plan=run.plan,
        seed=run.seed,
        rate=run.demand.rate,
        confidence=run.demand.confidence,
        outcome=RUNNING if given.live else str(run.outcome),
        headline=line,
        planned=done.planned,
        selected=done.selected,
        done=done.run,
        troubles=tuple(" ".join(text.split()) for text in given.troubles),
    )


def _nic(given: PageInput, dut: NicRow, cells: Sequence[CellRow]) -> PageNic:
    made = given.matrix
    peer = next(nic for nic in made.nics if nic.pair == dut.pair and nic.role == "peer")
    run = made.run
    outcome = str(pair_outcome(run.outcome, run.completeness, dut.pair, cells))
    if given.live and outcome != RunOutcome.NOT_QUALIFIED:
        outcome = RUNNING
    found = [one for one in given.findings if one.pair == dut.pair]
    cost = next((cost for cost in made.costs if cost.pair == dut.pair), None)
    bulk = [cell for cell in cells if not cell.flow.packet_set]
    return PageNic(
        dut.pair,
        outcome,
        dut.host,
        dut.interface,
        dut.driver,
        dut.firmware,
        dut.kernel,
        tuple(_facts(dut, peer)),
        "" if given.live else failure_conditions.describe(bulk, dut.driver) or "",  # takes seconds
        tuple(
            sentence
            for symptom in made.symptoms
            if symptom.pair == dut.pair
            for sentence in (symptom.errors, symptom.pace)
        ),
        tuple(
            PageCulprit(
                group.off,
                group.device,
                len(group.cells),
                group.flows,
                group.reason,
                group.proof.cell if group.proof else "",
            )
            for one in found
            for group in one.findings
        ),
        tuple(
            Command("; ".join(filter(None, (remedy.what, remedy.cost))), remedy.command)
            for one in found
            for remedy in remedies(one, dut, peer, cost)
        ),
        tuple(
            PageFault(f[0].id, len(f), str(f[0].verdict), f[0].reason, f[0].signature or "")
            for f in (*faults(cells)[:_MOST_FAULTS], *_doubts(cells)[:_MOST_FAULTS])
        ),
    )


def _doubts(cells: Sequence[CellRow]) -> list[list[CellRow]]:
    """Returns the cells that keep a NIC from an answer, by their reason."""
    found: dict[tuple[str, str], list[CellRow]] = {}
    for cell in cells:
        if cell.verdict in _DOUBTFUL:
            found.setdefault((cell.verdict, alike(cell.reason)), []).append(cell)
    return list(found.values())


def _facts(dut: NicRow, peer: NicRow) -> Iterator[tuple[str, str]]:
    """Yields what is known of a NIC and its peer; what its host does not report is left out."""
    guest = " ".join(filter(None, (dut.hypervisor, dut.machine, dut.hardware_version)))
    pace = f"{dut.pace:,} frames/s" if dut.pace else ""
    facts = {
        "driver version": dut.driver_version or "",
        "bus": dut.bus or "",
        "MTU": f"{dut.mtu:,}",
        "guest of": guest,
        "pace of bursts": "; ".join(filter(None, (pace, dut.pace_reason))),
        "watched by": f"{peer.host} {peer.interface} ({peer.driver}, firmware {peer.firmware}, "
        f"kernel {peer.kernel})",
        "judged by": peer.verifier,
    }
    return ((name, value) for name, value in facts.items() if value)


def _features(cells: Iterable[CellRow]) -> list[str]:
    """Returns the features that the columns tell apart, in the order of the ids of offload sets.

    Those of receiving are varied between all off and all on alone, which the names say.
    """
    ever = {
        name
        for cell in cells
        for features in (cell.requested, cell.effective)
        for name, is_on in features.items()
        if is_on
    }
    return [name for name in RULES if name in ever and name not in RECEIVING]


def _sets(cells: Iterable[CellRow], features: Sequence[str]) -> list[PageSet]:
    """Returns the offload sets, with those next to each other in which the same is in effect.

    What the first features do decides first, so that sets with a feature in effect stand together.
    """
    seen: dict[str, dict[str, set[bool]]] = {}
    for cell in cells:
        found = seen.setdefault(cell.set_id, {name: set() for name in features})
        for name, is_on in cell.effective.items():
            if name in found:
                found[name].add(is_on)
    sets = [
        PageSet(id_, tuple(_effect(found[name]) for name in features))
        for id_, found in seen.items()
    ]
    order = {"on": 0, "mixed": 1, "off": 2, "": 3}
    return sorted(sets, key=lambda one: [order[effect] for effect in one.effects])


def _effect(values: set[bool]) -> Effect:
    if not values:
        return ""
    if len(values) == 2:
        return "mixed"
    return "on" if True in values else "off"


def _flow(flow: FlowRow) -> PageFlow:
    traffic = flow.l4.upper() + (" segmented" if flow.l4 == "udp" and flow.segmentation else "")
    outer = f"plain IPv{flow.outer}"
    if flow.tunnel:
        outer = f"IPv{flow.outer} {'csum' if flow.outer_checksum else 'no csum'}"
    inner = f"IPv{flow.inner}" if flow.tunnel else ""
    return PageFlow(flow.id, traffic_kind(flow) or BULK, outer, inner, traffic, flow.port)
