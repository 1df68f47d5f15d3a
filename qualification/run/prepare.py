"""Prepares a run: builds the lab and asks the hosts. `check` and `plan` do no more than this."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import groupby
from secrets import randbits

from qualification import __version__, topology
from qualification.campaign import Campaign
from qualification.errors import EXIT_LAB, EXIT_QUALIFIED, UsageError
from qualification.judge.known.expectations import Expectations
from qualification.judge.verdict import Demand
from qualification.lab import build
from qualification.plan.cells import PLANS, PlanName
from qualification.progress import Progress
from qualification.remote.discover import discover, readiness
from qualification.topology import Topology


@contextmanager
def with_lab(lab: Topology, say: Progress) -> Iterator[Topology]:
    """Yields the topology, with the lab that it names built for it if it names one."""
    if lab.lab is None:
        yield lab
        return
    with build.start(lab, say=say) as running:
        yield running.topology


def select_pairs(lab: Topology, wanted: Sequence[str]) -> tuple[str, ...]:
    """Returns the pairs to run, in the order of the file: those wanted, or all.

    Raises:
        UsageError: There is no such pair.
    """
    unknown = [name for name in wanted if name not in lab.pairs]
    if unknown:
        raise UsageError(
            f"no pair {unknown[0]!r} in the topology",
            where="--pair",
            hint=f"the pairs are: {', '.join(lab.pairs)}",
        )
    return tuple(name for name in lab.pairs if not wanted or name in wanted)


def make_campaign(
    resolved: Topology,
    source: str,
    pairs: tuple[str, ...],
    plan: PlanName,
    demand: Demand,
    seed: int | None,
    say: Progress,
    expectations: Expectations | None = None,
    symptom: bool | None = None,
    *,
    learn: bool = False,
) -> Campaign:
    """Asks the hosts what they are, and reports what will run on them.

    Args:
        resolved: The topology, with SSH settings for every host.
        source: The topology file, as the user named it.
        pairs: Names of the pairs to qualify.
        plan: How many offload sets.
        demand: What a PASS has to exclude.
        seed: Seed of every payload; a new one if None.
        say: Prints a line for the user.
        expectations: Failures that are known.
        symptom: Whether to measure the symptom; None for the default of the plan.
        learn: Try which features of each DUT fall together; they are restored at once.
    """
    started = datetime.now(UTC).astimezone()
    made = Campaign(
        run_id=f"{started:%Y%m%d-%H%M%S}-{os.getpid()}",
        started=started.isoformat(timespec="seconds"),
        seed=randbits(32) if seed is None else seed,
        version=__version__,
        source=source,
        plan=plan,
        demand=demand,
        topology=resolved,
        inventory=discover(resolved, pairs, say, learn=learn),
        pairs=pairs,
        expectations=expectations,
        symptom=plan != "quick" if symptom is None else symptom,
    )
    cells = sum(len(made.cells(pair)) for pair in pairs)
    groups = resolved.groups()
    longest: dict[str, float] = {}
    for pair in pairs:
        longest[groups[pair]] = longest.get(groups[pair], 0) + made.seconds(pair)
    total = sum(longest.values())
    soonest = max(*longest.values(), total / worker_count(resolved, pairs))
    side_by_side = f", {_duration(soonest)} with -n auto" if len(longest) > 1 else ""
    say(
        f"{len(pairs)} pair{'s' if len(pairs) > 1 else ''}, plan {plan}: {cells} cells of "
        f"{demand.frames:,} frames, seed {made.seed}; about {_duration(total)}" + side_by_side
    )
    return made


def worker_count(lab: Topology, pairs: Sequence[str]) -> int:
    """Returns how many groups of pairs run at the same time with `-n auto`.

    All groups run in parallel if the hosts do the work. The pairs of a lab inside this machine
    share its CPUs: more of them at a time would only wait for each other, and their frames, too.
    """
    groups = len({group for pair, group in lab.groups().items() if pair in pairs})
    return groups if lab.lab is None else min(groups, 2 * (os.cpu_count() or 1))


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def show_plan(
    path: str,
    wanted: Sequence[str],
    plan: PlanName,
    rate: float,
    confidence: float,
    list_cells: bool,
    say: Progress,
) -> None:
    """Carries out `vxqual plan`: prints what would run."""
    lab = topology.load(path)
    pairs = select_pairs(lab, wanted)
    with with_lab(lab, lambda _: None) as resolved:
        made = make_campaign(resolved, path, pairs, plan, Demand(rate, confidence), None, say)
    say(f"{plan}: {PLANS[plan]}")
    for pair in pairs:
        dut = made.ends(pair).dut
        say(f"\n{pair}: {dut.name}, driver {dut.driver}, firmware {dut.firmware}")
        for (set_id, state, direction), some in groupby(
            made.cells(pair),
            key=lambda cell: (cell.set_id, cell.flow.state, cell.flow.direction),
        ):
            cells = list(some)
            why = "  not supported by the NIC: not run" if cells[0].unsupported else ""
            name = f"{set_id} @{state}" if state else set_id
            name += ", received" if direction == "receive" else ""
            say(f"  {name:<32} {len(cells)} flows{why}")
            if list_cells:
                for cell in cells:
                    say(f"    {cell.id}")


def check_lab(path: str, wanted: Sequence[str], say: Progress) -> int:
    """Carries out `vxqual check`: prints whether every host is ready; returns the exit code."""
    lab = topology.load(path)
    pairs = select_pairs(lab, wanted)
    with with_lab(lab, lambda _: None) as resolved:
        answers = readiness(resolved, pairs)
    lines = []
    bad = 0
    for answer in answers:
        if answer.error is not None:
            bad += 1
            lines.append(f"  {answer.error}")
        for nic, problems in answer.problems.items():
            bad += len(problems)
            lines += [f"  {nic}: {p.message}\n  next: {p.hint}" for p in problems]
            if not problems:
                lines.append(f"  {nic}: ready")
    count = f"{bad} problem{'s' if bad > 1 else ''}"
    say(f"{path}: {count} to solve" if bad else f"{path}: ready")
    for line in lines:
        say(line.replace("\n", "\n    "))
    return EXIT_LAB if bad else EXIT_QUALIFIED
