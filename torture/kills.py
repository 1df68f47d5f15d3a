"""SIGKILL at a random moment of a run, to any process that takes part in it."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from .lab import (
    GONE_SECONDS,
    HOSTS,
    Lab,
    await_that,
    children,
    command_line,
    descendants,
    kill,
    lab,
)
from .runs import FAULT, Run, complete, fresh, started, stored, verdicts, vxqual
from .trial import Setting, Trial

_RESTORED = 0
_LABS = 2


def _agents(lab: Lab, _run: Run) -> list[int]:
    return [p for host in HOSTS for p, line in lab.processes(host).items() if ".pyz" in line]


def _sshds(lab: Lab, _run: Run) -> list[int]:
    return [p for host in HOSTS for p, line in lab.processes(host).items() if "sshd" in line]


def _soft_nics(_lab: Lab, run: Run) -> list[int]:
    return [pid for pid in descendants(run.process.pid) if "softnic" in command_line(pid)]


def _workers(_lab: Lab, run: Run) -> list[int]:
    found = children(run.process.pid)
    return [pid for pid in found if "execnet" in command_line(pid) or "-c" in command_line(pid)]


def _controller(_lab: Lab, run: Run) -> list[int]:
    return [run.process.pid]


VICTIMS: Mapping[str, Callable[[Lab, Run], list[int]]] = {
    "agent": _agents,
    "sshd": _sshds,
    "soft NIC": _soft_nics,
    "worker": _workers,
    "controller": _controller,
}


def kills(setting: Setting) -> Iterator[Trial]:
    """Kills a process of a run at a random moment, and goes on with the run.

    After it the hosts have to be as they were, as soon as they are contacted again, no finished
    cell may be lost, and the verdicts have to be those of a run that nothing disturbed. Two
    labs are tortured at the same time, as a run waits for more than it computes.
    """
    with contextlib.ExitStack() as stack:
        labs: SimpleQueue[Lab] = SimpleQueue()
        for number in range(_LABS):
            labs.put(stack.enter_context(lab(setting.scratch, f"kills-{number}", FAULT)))
        calm = setting.scratch / "calm"
        with _taken(labs) as built:
            start = time.monotonic()
            vxqual(*fresh(built.topology, calm))
            duration, wanted = time.monotonic() - start, verdicts(calm)
        setting.say(f"a run that nothing disturbs takes {duration:.0f} s, {len(wanted)} cells")
        names = itertools.islice(itertools.cycle(VICTIMS), setting.times)
        plans = [
            _Plan(number, name, setting.random.uniform(0, duration), setting.random.random())
            for number, name in enumerate(names)
        ]

        def trial(plan: _Plan) -> Trial:
            with _taken(labs) as built:
                return _kill(setting.scratch / f"kill-{plan.number}", built, plan, wanted)

        yield from stack.enter_context(ThreadPoolExecutor(_LABS)).map(trial, plans)


@dataclass(frozen=True)
class _Plan:
    """One kill.

    Attributes:
        number: Its number.
        victim: What is killed, a key of `VICTIMS`.
        moment: Seconds after the start of the run.
        which: Where among several processes, from 0 to 1.
    """

    number: int
    victim: str
    moment: float
    which: float


@contextlib.contextmanager
def _taken(labs: SimpleQueue[Lab]) -> Iterator[Lab]:
    """Takes a lab that nobody uses, for the time of a context."""
    built = labs.get()
    try:
        yield built
    finally:
        labs.put(built)


def _kill(out: Path, lab: Lab, plan: _Plan, wanted: Mapping[str, str]) -> Trial:
    # A soft NIC that is killed is a NIC that was pulled out: the run of a lab that it built itself
    # goes on in another one.
    name = plan.victim
    topology = lab.source if name == "soft NIC" else lab.topology
    before, victims = lab.state(), VICTIMS[name]
    with started(out, *fresh(topology, out)) as run:
        await_that(run.ended, plan.moment)
        await_that(lambda: run.ended() or bool(victims(lab, run)), GONE_SECONDS)
        found = victims(lab, run)
        chosen = found[int(plan.which * len(found))] if found else 0
        hit = bool(found) and not run.ended() and kill(chosen, signal.SIGKILL)
        what = f"{name} killed after {plan.moment:.1f} s" if hit else f"{name}: the run had ended"
        problems = run.wait()
    kept = stored(out)
    what += f", {len(kept.finished) if kept else 0} of {len(wanted)} cells finished"
    problems += lab.left()
    done = vxqual("restore", lab.topology)
    if done.returncode != _RESTORED:
        problems.append(f"vxqual restore ended with {done.returncode}: {done.stdout}")
    problems += lab.changed(before)
    problems += complete(topology, out, wanted)
    problems += lab.changed(before)
    shutil.rmtree(out, ignore_errors=True)
    return Trial(what, tuple(problems))
