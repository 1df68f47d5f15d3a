"""SIGKILL at a random moment of a run, to any process that takes part in it."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from qualification.remote.install import LOADING

from .lab import (
    GONE_SECONDS,
    HOSTS,
    Lab,
    await_that,
    children,
    command_line,
    descendants,
    kill,
    labs_of,
)
from .runs import Run, complete, fresh, started, stored, verdicts, vxqual
from .side_by_side import Calm
from .trial import Setting, Trial

_RESTORED = 0
_ATTEMPTS = 6
_EXECNET = "exec(eval(sys.stdin.readline()))"
"""What execnet, by which xdist starts its workers, has them run at first (execnet.gateway_io)."""


def _agents(lab: Lab, _run: Run) -> list[int]:
    # Not the shell that sshd has start it, nor the probe before it.
    return [
        pid
        for host in HOSTS
        for pid, line in lab.processes(host).items()
        if line.startswith("python3") and LOADING.decode() in line
    ]


def _sshds(lab: Lab, _run: Run) -> list[int]:
    return [p for host in HOSTS for p, line in lab.processes(host).items() if "sshd" in line]


def _soft_nics(_lab: Lab, run: Run) -> list[int]:
    return [pid for pid in descendants(run.process.pid) if "softnic" in command_line(pid)]


def _workers(_lab: Lab, run: Run) -> list[int]:
    return [pid for pid in children(run.process.pid) if _EXECNET in command_line(pid)]


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
    cell may be lost, and the verdicts have to be those of a run that nothing disturbed. The contact
    is by turns `vxqual restore` and the run that goes on.
    """
    plans = [
        _Plan(
            number,
            victim,
            setting.random.random(),
            setting.random.random(),
            workers="1" if victim == "worker" or turn % 3 == 2 else "0",
            restore=turn % 2 == 1,
        )
        for number in range(setting.times)
        for turn, victim in [(number // len(VICTIMS), list(VICTIMS)[number % len(VICTIMS)])]
    ]
    calm = setting.labs.calm
    yield from setting.labs.try_all(partial(_kill, setting.scratch, calm), plans)


@dataclass(frozen=True)
class _Plan:
    """One kill.

    Attributes:
        number: Its number.
        victim: What is killed, a key of `VICTIMS`.
        moment: When, as a share of the time that the run takes undisturbed.
        which: Where among several processes, from 0 to 1.
        workers: How many workers the run has.
        restore: Whether hosts are put back by `vxqual restore` before the run goes on.
    """

    number: int
    victim: str
    moment: float
    which: float
    workers: str
    restore: bool


def _kill(scratch: Path, calm: Calm, lab: Lab, plan: _Plan) -> Trial:
    # A soft NIC that is killed is a NIC that was pulled out: the run of a lab that it built itself
    # goes on in another one.
    topology = lab.source if plan.victim == "soft NIC" else lab.topology
    before, start = lab.state(), time.monotonic()
    for attempt in range(_ATTEMPTS):  # a run that has ended cannot be killed: once more, earlier
        out = scratch / f"kill-{plan.number}-{attempt}"
        moment = plan.moment * calm.seconds[plan.workers] / 2**attempt
        with started(out, *fresh(topology, out, plan.workers)) as run:
            await_that(run.ended, moment)
            hit = _strike(lab, run, plan)
            problems = run.wait()
        if hit or problems:
            break
        shutil.rmtree(out, ignore_errors=True)
    problems += [] if hit else ["it was never there to be killed"]
    kept = stored(out)
    finished = len(kept.finished) if kept else 0
    problems += lab.left()
    problems += labs_of(run.process.pid) if plan.victim == "soft NIC" else []
    whole = run.process.returncode >= 0 and verdicts(out) == calm.verdicts
    if whole or plan.restore:
        done = vxqual("restore", lab.topology)
        if done.returncode != _RESTORED:
            problems.append(f"vxqual restore ended with {done.returncode}: {done.stdout}")
        problems += lab.changed(before)
    if not whole:
        problems += complete(topology, out, calm.verdicts, plan.workers)
        problems += lab.left()
        problems += lab.changed(before)
    shutil.rmtree(out, ignore_errors=True)
    went_on = "the run went on by itself" if whole else "resumed"
    return Trial(
        f"{plan.victim} killed after {moment:.1f} s, {finished} of {len(calm.verdicts)} cells "
        f"finished, {went_on}, {time.monotonic() - start:.0f} s",
        tuple(problems),
    )


def _strike(lab: Lab, run: Run, plan: _Plan) -> bool:
    """Kills the victim, once there is one; returns whether it was killed within the run."""
    victims = partial(VICTIMS[plan.victim], lab, run)
    await_that(lambda: run.ended() or bool(victims()), GONE_SECONDS)
    found = victims()
    if not found or run.ended():
        return False
    return kill(found[int(plan.which * len(found))], signal.SIGKILL)
