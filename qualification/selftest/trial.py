"""One firmware of the soft NIC, judged by the suite, which does not know which one it is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from random import Random

from qualification.campaign import Campaign
from qualification.errors import LabError, VxqualError
from qualification.judge.controls import ControlResult, first_untrusted
from qualification.judge.outcome import Outcome
from qualification.judge.pace import FASTEST
from qualification.judge.result_row import row
from qualification.judge.signature.sign import sign
from qualification.judge.verdict import Demand, Verdict
from qualification.lab import build
from qualification.lab.softnic.firmwares import Knob
from qualification.plan.cells import Cell
from qualification.remote.discover import Found, discover
from qualification.run.cell_runner import CellRunner
from qualification.run.culprits import search
from qualification.run.prepare import make_campaign
from qualification.topology import Topology

PAIR = "trial"
_VLAN = 3725
_FAILING = (Verdict.FAIL, Verdict.LOSS)


@dataclass(frozen=True)
class Trial:
    """A firmware to be judged.

    Attributes:
        model: The name of the firmware.
        knobs: Parameters of the firmware that differ from their defaults.
        port: The UDP port of the tunnel.
        pace: Frames per second at which the search for the path's pace begins.
        seeds: Seeds of the payloads; every cell runs once with each. The firmware's own random
            numbers are seeded with the first one, and continue.
        cells: How many cells run with each seed, drawn at random by it; None for all.
    """

    model: str
    knobs: Mapping[str, Knob]
    port: int
    seeds: tuple[int, ...]
    pace: int = FASTEST
    cells: int | None = None

    def drawn(self, seed: int, cells: Sequence[Cell]) -> list[Cell]:
        """Returns the cells that run with a seed, in their order."""
        if self.cells is None or self.cells >= len(cells):
            return list(cells)
        places = sorted(Random(seed).sample(range(len(cells)), self.cells))
        return [cells[place] for place in places]


@dataclass(frozen=True)
class TrialResult:
    """The result of a trial with one seed.

    Attributes:
        verdicts: The number of cells by verdict; a control that fails makes all UNTRUSTED.
        flows: Ids of the flows that fail, in the order they ran.
        signatures: The number of failing cells by the name of their signature.
        culprits: The features found to be the culprit, by kernel name.
        reason: The reason of the first failing cell, or of the control.
        frames: The number of frames judged.
        seconds: The duration; with the first seed it includes building the lab and the controls.
        error: The error of the lab, if there was one.
    """

    verdicts: Mapping[str, int]
    flows: tuple[str, ...] = ()
    signatures: Mapping[str, int] = field(default_factory=dict)
    culprits: tuple[tuple[str, ...], ...] = ()
    reason: str = ""
    frames: int = 0
    seconds: float = 0.0
    error: str = ""


def judge(trial: Trial, demand: Demand) -> Iterator[TrialResult]:
    """Builds a lab with the firmware as DUT, runs every cell with all features on, and searches.

    Args:
        trial: The firmware.
        demand: What a PASS has to exclude.

    Yields:
        The result with each seed, up to one with which the lab fails.
    """
    start = time.monotonic()
    try:
        with build.start(_topology(trial)) as lab:
            first = trial.seeds[0]
            found = Found(discover(lab.topology, (PAIR,), _silent))
            run = make_campaign(lab.topology, "", (PAIR,), "quick", demand, first, _silent, found)
            runner = CellRunner(replace(run, fastest=trial.pace))
            try:
                for seed in trial.seeds:
                    runner.begin(seed)
                    result = _judged(runner, run, partial(trial.drawn, seed))
                    now = time.monotonic()
                    yield replace(result, seconds=now - start)
                    start = now
            finally:
                runner.close()
            left = runner.left_changed.tell(last=True)
            if left:
                raise LabError("\n".join(left))
    except VxqualError as error:
        yield TrialResult({}, error=str(error), seconds=time.monotonic() - start)


def _silent(_line: str) -> None:
    """Takes what a run would say on its progress."""


def _judged(
    runner: CellRunner, run: Campaign, drawn: Callable[[Sequence[Cell]], list[Cell]]
) -> TrialResult:
    controls = runner.controls(PAIR)
    cells = drawn([cell for cell in run.cells(PAIR) if cell.set_id == "all-on"])
    failed = first_untrusted(controls)
    if failed is not None:
        # Cells of what it receives are still judged if possible, and may show the reason.
        cells = [cell for cell in cells if cell.flow.direction == "receive"]
    outcomes = [runner.run(cell) for cell in cells]
    rows = [row(o.cell, o.judgement, o.evidence) for o in outcomes]
    failing = [made for made in rows if made.verdict in _FAILING]
    if failed is not None and not failing:
        return _untrusted(failed, controls, run)
    signatures = Counter(made.signature.partition(",")[0] for made in failing if made.signature)
    found = search(PAIR, runner).findings if failing else None
    return TrialResult(
        verdicts=_verdicts(outcomes),
        flows=tuple(made.flow.id for made in failing),
        signatures=dict(signatures.most_common()),
        culprits=tuple(dict.fromkeys(f.off for f in found.findings if f.off)) if found else (),
        reason=failing[0].reason if failing else "",
        frames=sum(made.frames for made in rows),
    )


def _untrusted(
    failed: ControlResult, controls: Mapping[str, ControlResult], run: Campaign
) -> TrialResult:
    """Returns the result of a trial whose control failed, with the signature of its bad frames."""
    flows = {flow.id: flow for flow in (*run.flows(PAIR), *run.crafted_flows(PAIR))}
    signatures: Counter[str] = Counter()
    for id_, burst in failed.bursts.items():
        signature = sign(burst.received.captured.samples, flows[id_]) if id_ in flows else None
        if signature is not None:
            signatures[signature.name] += 1
    return TrialResult(
        verdicts={str(Verdict.UNTRUSTED): 1},
        flows=tuple(id_ for id_, burst in failed.bursts.items() if burst.received.captured.bad),
        signatures=dict(signatures.most_common()),
        reason=f"control {failed.name}: {failed.reason}",
        frames=sum(control.frames for control in controls.values()),
    )


def _verdicts(outcomes: Iterable[Outcome]) -> dict[str, int]:
    return dict(Counter(str(outcome.judgement.verdict) for outcome in outcomes))


def _topology(trial: Trial) -> Topology:
    return Topology.model_validate(
        {
            "version": 1,
            "hosts": {
                host: {
                    "nics": {
                        "port0": {
                            "interface": "port0",
                            "underlay": [f"198.18.0.{number}/24", f"fd00:18::{number}/64"],
                        }
                    }
                }
                for number, host in enumerate(("dut", "peer"), 1)
            },
            "pairs": {
                PAIR: {
                    "dut": "dut.port0",
                    "peer": "peer.port0",
                    "port": trial.port,
                    "vlan": _VLAN,
                }
            },
            "lab": {
                "kind": "loopback",
                "firmwares": {
                    "dut.port0": {"model": trial.model, "seed": trial.seeds[0], **trial.knobs}
                },
            },
        }
    )
