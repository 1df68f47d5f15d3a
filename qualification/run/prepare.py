"""Prepares a run: builds the lab and asks the hosts. `check` and `plan` do no more than this."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from secrets import randbits

from qualification import __version__, topology
from qualification.campaign import Campaign
from qualification.errors import EXIT_LAB, EXIT_QUALIFIED, LabError, UsageError
from qualification.judge.known.expectations import Expectations
from qualification.judge.verdict import Demand
from qualification.lab import build
from qualification.plan.cells import PLANS, PlanName
from qualification.progress import Progress
from qualification.remote.discover import Found, discover
from qualification.remote.readiness import readiness
from qualification.results import directories
from qualification.topology import QemuLab, Topology

from .versions import controller_versions

_GUEST_MIB = 320
"""What a guest needs for the agent of each pair, with its system, MiB. In 256 MiB, the agent that
holds the leases and one of a pair (33 and 100 MB, of which the capture's ring is half) leave so
little for the pages of programs that they are read again and again; two agents of pairs were seen
to end by the kernel's out-of-memory killer."""


def end_as_by_ctrl_c(until: ExitStack) -> None:
    """Lets SIGTERM and SIGHUP end the process as Ctrl-C does, until a stack is closed.

    CI cancels by SIGTERM, and a terminal that is closed sends SIGHUP: hosts are put back, and
    results so far are written.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup(1)
            before = signal.signal(number, signal.default_int_handler)
            until.callback(signal.signal, number, before)


@contextmanager
def with_lab(
    lab: Topology, say: Progress
) -> Iterator[tuple[Topology, Mapping[str, tuple[str, str]]]]:
    """Builds the lab that a topology names, if it names one.

    Yields:
        The topology with SSH settings for every host, and where wires can be recorded, by NIC.
    """
    if lab.lab is None:
        yield lab, {}
        return
    with build.start(lab, say=say) as running:
        yield running.topology, running.wires


def with_kernel(lab: Topology, kernel: str | None, modules: str | None) -> Topology:
    """Returns the topology with another kernel for the guests of its lab.

    Args:
        lab: The topology.
        kernel: A bzImage or vmlinux; None for the one that the topology names.
        modules: The directory of its modules; by default, one beside it, as `modules/VERSION` or
            `lib/modules/VERSION`, or the one that the topology names.

    Raises:
        UsageError: The topology's lab has no kernel of its own, or modules come without a kernel.
    """
    if kernel is None and modules is None:
        return lab
    if not isinstance(lab.lab, QemuLab):
        raise UsageError(
            "only a QEMU lab boots a kernel",
            where="--vx-kernel" if kernel else "--vx-modules",
            hint="give a topology with lab: {kind: qemu, …}; `vxqual init lab` has one",
        )
    changes = {"kernel": kernel or lab.lab.kernel, "modules": modules or lab.lab.modules}
    if kernel and not modules:
        folder = Path(kernel).expanduser().resolve().parent
        beside = [*folder.glob("modules/*/modules.dep"), *folder.glob("lib/modules/*/modules.dep")]
        if len(beside) == 1:
            changes["modules"] = str(beside[0].parent)
    return lab.model_copy(update={"lab": lab.lab.model_copy(update=changes)})


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
    found: Found,
    expectations: Expectations | None = None,
    symptom: bool | None = None,
    *,
    wires: Mapping[str, tuple[str, str]] | None = None,
    run_id: str | None = None,
) -> Campaign:
    """Returns the run of what was asked and what was found, and reports pairs that cannot run.

    Args:
        resolved: The topology, with SSH settings for every host.
        source: The topology file, as the user named it.
        pairs: Names of the pairs to qualify.
        plan: How many offload sets.
        demand: What a PASS has to exclude.
        seed: Seed of every payload; a new one if None.
        say: Prints a line for the user.
        found: What the hosts are.
        expectations: Failures that are known.
        symptom: Whether to measure the symptom; None for the default of the plan.
        wires: Where wires are recorded, by NIC; None for no recordings.
        run_id: The id of the run, where it has a directory of that name; None for a new one.
    """
    started = datetime.now(UTC).astimezone()
    made = Campaign(
        run_id=run_id or directories.run_id(started),
        started=started.isoformat(timespec="seconds"),
        seed=randbits(32) if seed is None else seed,
        version=__version__,
        source=source,
        plan=plan,
        demand=demand,
        topology=resolved,
        inventory=found.inventory,
        pairs=pairs,
        expectations=expectations,
        symptom=plan != "quick" if symptom is None else symptom,
        wires={pair: (wires or {})[resolved.pairs[pair].dut] for pair in pairs if wires},
        controller=controller_versions(),
        unready=dict(found.unready),
    )
    if found.unready:
        say(
            f"{len(found.unready)} of {len(pairs)} pairs cannot run now, and their cells without a "
            f"result end in ERROR: {', '.join(found.unready)}"
        )
        for fault in found.faults:
            say(str(fault))
    return made


def what_runs(made: Campaign, workers: int) -> str:
    """Returns a line on what a run will do, and about how long it takes.

    Args:
        made: The run.
        workers: How many groups of pairs run at the same time with `-n auto`.
    """
    cells = sum(len(made.cells(pair)) for pair in made.pairs)
    groups = made.topology.groups()
    longest: dict[str, float] = {}
    for pair in made.pairs:
        longest[groups[pair]] = longest.get(groups[pair], 0) + made.seconds(pair)
    total = sum(longest.values())
    soonest = max(*longest.values(), total / workers)
    side_by_side = f", {duration(soonest)} with -n auto" if workers > 1 else ""
    return (
        f"{len(made.pairs)} pair{'s' if len(made.pairs) > 1 else ''}, plan {made.plan}: {cells} "
        f"cells of {made.demand.frames:,} frames, seed {made.seed}; about {duration(total)}"
        f"{side_by_side}"
    )


def worker_count(lab: Topology, pairs: Sequence[str]) -> int:
    """Returns how many groups of pairs run at the same time with `-n auto`.

    All groups run in parallel if the hosts do the work. The pairs of a lab inside this machine
    share its CPUs: more of them at a time would only wait for each other, and their frames, too.
    In a QEMU lab they share guests as well: a pair keeps two of them busy, and its agents need
    memory there.
    """
    groups = len({group for pair, group in lab.groups().items() if pair in pairs})
    if isinstance(lab.lab, QemuLab):
        most = min((os.cpu_count() or 1) // 2, lab.lab.memory // _GUEST_MIB)
        return max(1, min(groups, most))
    return groups if lab.lab is None else min(groups, 2 * (os.cpu_count() or 1))


def duration(seconds: float) -> str:
    """Returns a duration for people, in seconds or minutes."""
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
    with with_lab(lab, lambda _: None) as (resolved, _):
        found = Found(discover(resolved, pairs, say))
        demand = Demand(rate, confidence)
        made = make_campaign(resolved, path, pairs, plan, demand, None, say, found)
    say(what_runs(made, worker_count(lab, pairs)))
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
    with with_lab(lab, lambda _: None) as (resolved, _):
        answers = readiness(resolved, pairs)
    lines = []
    bad = 0
    for answer in answers:
        if answer.error is not None:
            bad += 1
            lines.append(f"  {answer.error}")
        for where, problems in answer.problems.items():
            bad += len(problems)
            lines += [f"  {LabError(p.message, where=where, hint=p.hint)}" for p in problems]
            if not problems:
                lines.append(f"  {where}: ready")
        for where, notes in answer.notes.items():
            lines += [f"  {where}: {note}" for note in notes]
    count = f"{bad} problem{'s' if bad > 1 else ''}"
    say(f"{path}: {count} to solve" if bad else f"{path}: ready")
    for line in lines:
        say(line.replace("\n", "\n    "))
    return EXIT_LAB if bad else EXIT_QUALIFIED
