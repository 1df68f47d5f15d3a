"""Campaigns and rows made by hand: what a run would have stored, without a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import count

import pytest

from qualification.campaign import Campaign, ControllerVersions
from qualification.inventory import Ends, Inventory, Nic
from qualification.judge.result_row import CellRow, row
from qualification.judge.statistics import rate
from qualification.judge.symptom import CallFigures, Symptom
from qualification.judge.verdict import Demand, Judgement, Verdict
from qualification.messages.host import Feature, HostFacts, NicFacts
from qualification.plan.cells import Cell
from qualification.plan.features import CSUM, TNL, TNL_CSUM, TSO, FeatureSpace, OffloadSet
from qualification.plan.flows import Flow
from qualification.results import matrix
from qualification.results.conclusion import Completeness, Conclusion, RunEnd, RunOutcome, Selection
from qualification.topology import Topology

SPACE = FeatureSpace(frozenset({TNL_CSUM, TNL, TSO, CSUM}))
ALL_OFF = OffloadSet(frozenset(), SPACE)
ALL_ON = OffloadSet(SPACE.switchable, SPACE)
TCP = Flow(4, True, 4, "tcp", True)
UDP = Flow(4, True, 4, "udp", False)
UDP_SEG = Flow(4, True, 4, "udp", True)
TCP6 = Flow(4, True, 6, "tcp", True)
PLAIN_TCP = Flow(4, False, 4, "tcp", True)
OUTER6_TCP = Flow(6, True, 6, "tcp", True)


def made(
    offloads: OffloadSet,
    flow: Flow,
    verdict: Verdict = Verdict.PASS,
    reason: str = "a reason",
    *,
    pair: str = "x710",
    frames: int = 0,
    bad: int = 0,
    unsupported: tuple[str, ...] = (),
) -> CellRow:
    """A row as the judge would have made it."""
    judgement = Judgement(verdict, reason, frames, bad, 0, rate(bad, frames, 0.999))
    return row(Cell(pair, offloads, flow, unsupported), judgement)


def built(
    run: Campaign,
    cells: Iterable[CellRow],
    symptoms: Iterable[Symptom] = (),
    mitigation: Mapping[str, list[str]] | None = None,
    outcome: RunOutcome = RunOutcome.QUALIFIED,
) -> matrix.Matrix:
    """A matrix of a run whose plan had these cells and no others."""
    rows = list(cells)
    done = Completeness(len(rows), len(rows), len(rows), 1, 1, ())
    end = RunEnd("2026-01-02T03:14:05+00:00")
    conclusion = Conclusion(outcome, done, Selection(), end)
    return matrix.build(run, rows, conclusion, symptoms, mitigation or {})


def symptom(pair: str) -> Symptom:
    """A symptom as the judge would have made it."""
    good = CallFigures(320, 0, 0, 0, 0.001, 0.1, 0.2, 9000, 1, 2, {})
    bad = CallFigures(320, 6, 6, 0, 0.001, 1.0, 1.0, 9999, 888, 2, {"outer4-csum/inner4": (6, 80)})
    return Symptom(pair, 1.0, bad, good, good, "6 of 320 calls missed", "all on: slow; rest: fast")


def nic(name: str, *, driver: str | None = "i40e", firmware: str | None = "8.30") -> Nic:
    host = HostFacts(
        name.split(".", maxsplit=1)[0], "6.1.0-28", "Debian 12", "a CPU", 8, "3.11.2", 1, ("p0",)
    )
    facts = NicFacts(
        interface="p0",
        mac="02:00:00:00:00:01",
        mtu=1500,
        up=True,
        carrier=True,
        driver=driver,
        driver_version=None,
        firmware=firmware,
        bus="0000:3b:00.0",
        pci_id="8086:1572",
        speed_mbps=10_000,
        queues={},
        rings={},
        devlink={},
        addresses=(),
        features={name: Feature(True, True, True) for name in SPACE.switchable},
    )
    return Nic(name, host, facts, None, ("198.18.0.1/24",))


def ends(**about_dut: str | None) -> Ends:
    return Ends(nic("alpha.port0", **about_dut), nic("bravo.port0"), 4789)


Make = Callable[..., Campaign]


@pytest.fixture
def campaign() -> Make:
    """`campaign(x710=("i40e", "8.30"), e810=...)`: a run on a pair for each."""

    def make(**pairs: tuple[str, str]) -> Campaign:
        number = count(1)
        hosts: dict[str, object] = {}
        named: dict[str, object] = {}
        nics = {}
        for pair, (driver, firmware) in pairs.items():
            names = []
            for role in ("dut", "peer"):
                host = f"{pair}-{role}"
                hosts[host] = {
                    "ssh": {"address": host},
                    "nics": {
                        "port0": {"interface": "p0", "underlay": [f"198.18.0.{next(number)}/24"]}
                    },
                }
                names.append(f"{host}.port0")
                nics[names[-1]] = nic(names[-1], driver=driver, firmware=firmware)
            named[pair] = dict(zip(("dut", "peer"), names, strict=True))
        return Campaign(
            run_id="20260102-030405-6",
            started="2026-01-02T03:04:05+00:00",
            seed=7,
            version="0.1.0",
            source="lab.yaml",
            plan="quick",
            demand=Demand(),
            topology=Topology.model_validate({"version": 1, "hosts": hosts, "pairs": named}),
            inventory=Inventory(nics),
            pairs=tuple(pairs),
            controller=ControllerVersions("2056cb712345-dirty", "3.11.7", "6.1.0-28"),
        )

    return make
