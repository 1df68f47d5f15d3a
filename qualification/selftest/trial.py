"""One firmware of the soft NIC, judged by the suite that does not know which it is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from qualification.campaign import Campaign
from qualification.errors import VxqualError
from qualification.judge.controls import ControlResult, first_untrusted
from qualification.judge.outcome import Outcome
from qualification.judge.result_row import row
from qualification.judge.signature.sign import sign
from qualification.judge.verdict import Demand, Verdict
from qualification.lab import build
from qualification.lab.softnic.firmwares import Knob
from qualification.run.cell_runner import CellRunner
from qualification.run.culprits import search
from qualification.run.prepare import campaign
from qualification.topology import Topology

PAIR = "trial"
_VLAN = 3725
_FAILING = (Verdict.FAIL, Verdict.LOSS)


@dataclass(frozen=True)
class Trial:
    """A firmware to be judged.

    Attributes:
        model: Its name.
        knobs: Its knobs as far as they are not at their defaults.
        port: The tunnel's UDP port.
        seeds: Every cell runs once with each: of every payload. The firmware's own randomness
            begins with the first of them, and goes on.
    """

    model: str
    knobs: Mapping[str, Knob]
    port: int
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class TrialResult:
    """What the suite makes of it with one seed.

    Attributes:
        verdicts: Cells by verdict; a control that fails makes all of them UNTRUSTED.
        flows: Ids of the flows that show it, in the order they ran.
        signatures: Failing cells by the name of their signature.
        culprits: The features found to be to blame, by kernel name.
        reason: Of the first cell that shows it, or of the control.
        frames: Frames judged.
        seconds: How long it took; with the first seed, building the lab and its controls too.
        error: What went wrong in the lab, if anything did.
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
    """Builds a lab with the firmware as its DUT, runs every cell with everything on, and searches.

    Args:
        trial: The firmware.
        demand: What a PASS has to exclude.

    Yields:
        What is seen with each seed, up to one with which the lab fails.
    """
    start = time.monotonic()
    try:
        with build.start(_topology(trial)) as lab:
            first = trial.seeds[0]
            run = campaign(lab.topology, "", (PAIR,), "quick", demand, first, lambda _: None)
            runner = CellRunner(run)
            try:
                for seed in trial.seeds:
                    runner.begin(seed)
                    seen = _judged(runner, run)
                    now = time.monotonic()
                    yield replace(seen, seconds=now - start)
                    start = now
            finally:
                runner.close()
    except VxqualError as error:
        yield TrialResult({}, error=str(error), seconds=time.monotonic() - start)


def _judged(runner: CellRunner, run: Campaign) -> TrialResult:
    controls = runner.controls(PAIR)
    cells = [cell for cell in run.cells(PAIR) if cell.set_id == "all-on"]
    failed = first_untrusted(controls)
    if failed is not None:
        # What it receives is judged all the same, where it can be, and may say why.
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
    """What a control that failed says; its wrong frames have a signature, too."""
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
