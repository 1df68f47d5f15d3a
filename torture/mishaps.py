"""What happens to labs: links that flap, hosts that go, disks that fill, clocks that jump."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from qualification.errors import LabError
from qualification.results.matrix import read as read_matrix
from qualification.results.run_files import EVIDENCE, MATRIX

from .lab import Lab, await_that, rebuild
from .runs import Run, complete, fresh, started, traces, verdicts, vxqual
from .trial import Setting, Trial

_FIRST_CELL_SECONDS = 60.0
_CELL = b'"kind": "cell"'
_SMALL_DISK = "4m"
_CLOCK_BACK = Path(__file__).with_name("clock_back.c")
"""Sets the clock of a process back: Debian's faketime lets time.sleep(3) fail when it does."""


def mishaps(setting: Setting) -> Iterator[Trial]:
    """Disturbs the hosts and the controller in the middle of a run, and goes on with it."""
    wanted = setting.labs.calm.verdicts

    def trial(lab: Lab, mishap: Callable[[Path, Lab, Mapping[str, str]], Trial]) -> Trial:
        return mishap(setting.scratch, lab, wanted)

    all_of_them = (_torn_down, _clock, _link, _full_controller, _full_host)
    yield from setting.labs.try_all(trial, all_of_them)


def _first_cell(run: Run) -> bool:
    """Waits until a cell of a run is stored; returns whether the run still goes on then."""

    def begun() -> bool:
        evidence = run.out / "latest" / EVIDENCE
        return run.ended() or (evidence.exists() and _CELL in evidence.read_bytes())

    return await_that(begun, _FIRST_CELL_SECONDS) and not run.ended()


def _after(lab: Lab, before: Mapping[str, str]) -> list[str]:
    return lab.left() + lab.changed(before)


def _wrongly_failed(out: Path, wanted: Mapping[str, str]) -> list[str]:
    """Returns the cells that fail, or lose frames, in a run that was disturbed, and not else."""
    blamed = {"FAIL", "LOSS"}
    return [
        f"{name} ended as {verdict}, for which the NIC is blamed"
        for name, verdict in verdicts(out).items()
        if verdict in blamed and wanted.get(name) not in blamed
    ]


def _link(scratch: Path, lab: Lab, wanted: Mapping[str, str]) -> Trial:
    out, before = scratch / "link", lab.state()
    with started(out, *fresh(lab.topology, out)) as run:
        in_time = _first_cell(run)
        for state in ("down", "up"):
            lab.inside("bravo", "ip", "link", "set", "port0", state)
        problems = run.wait()
    problems += [] if in_time else ["the run had ended before"]
    problems += _wrongly_failed(out, wanted)
    problems += _after(lab, before)
    problems += [] if verdicts(out) == wanted else complete(lab.topology, out, wanted)
    return Trial("the peer's link went down and up", tuple(problems))


def _torn_down(scratch: Path, lab: Lab, wanted: Mapping[str, str]) -> Trial:
    out = scratch / "torn-down"
    with started(out, *fresh(lab.topology, out)) as run:
        in_time = _first_cell(run)
        rebuild(lab)
        problems = run.wait()
    before = lab.state()
    problems += [] if in_time else ["the run had ended before"]
    problems += _wrongly_failed(out, wanted)
    shutil.rmtree(out)  # other hosts: the run does not go on with them, and says so
    problems += complete(lab.topology, out, wanted)
    problems += _after(lab, before)
    return Trial("both hosts were torn down and made anew", tuple(problems))


@contextlib.contextmanager
def _small_disk(path: Path) -> Iterator[Path]:
    path.mkdir(parents=True, exist_ok=True)
    size = f"size={_SMALL_DISK}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "vxqual-torture", path], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def _fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(512))
    return filler


def _full_controller(scratch: Path, lab: Lab, wanted: Mapping[str, str]) -> Trial:
    before = lab.state()
    with _small_disk(scratch / "full") as disk:
        with started(disk, *fresh(lab.topology, disk)) as run:
            in_time = _first_cell(run)
            filler = _fill(disk)
            problems = run.wait()
            code = run.process.returncode
        problems += [] if in_time else ["the run had ended before"]
        problems += [] if code == 10 else [f"exit code {code} on a full disk: {run.process}"]
        problems += _after(lab, before)
        filler.unlink()
        problems += complete(lab.topology, disk, wanted)
    return Trial("the controller's disk was full", tuple(problems))


def _full_host(scratch: Path, lab: Lab, wanted: Mapping[str, str]) -> Trial:
    out, before = scratch / "full-host", lab.state()
    with _small_disk(lab.topology.parent / "hosts/alpha/journals") as disk:
        filler = _fill(disk)
        done = vxqual(*fresh(lab.topology, out))
        problems = traces(done.stdout)
        if done.returncode != 10 or "no space" not in done.stdout.lower():
            problems.append(f"exit code {done.returncode} on a full host: {done.stdout[-1500:]}")
        filler.unlink()
    problems += _after(lab, before)
    shutil.rmtree(out, ignore_errors=True)
    problems += complete(lab.topology, out, wanted)
    return Trial("the disk of a host was full", tuple(problems))


def clock_library(directory: Path) -> Path:
    """Compiles the library that sets the clock of a process back while a file exists.

    Raises:
        LabError: There is no C compiler.
    """
    compiler = shlex.split(os.environ.get("CC", "cc"))
    if shutil.which(compiler[0]) is None:
        raise LabError(
            f"{compiler[0]} is missing, and the clock is not set back without it",
            where=str(_CLOCK_BACK),
            hint="install a C compiler, or name one: CC=clang",
        )
    library = directory / "clock_back.so"
    command = [*compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(_CLOCK_BACK)]
    subprocess.run(command, check=True)
    return library


def _clock(scratch: Path, lab: Lab, wanted: Mapping[str, str]) -> Trial:
    what = "the controller's clock went back an hour"
    back = scratch / "clock-is-back"
    try:
        library = clock_library(scratch)
    except LabError as error:
        return Trial(what, (str(error),))
    out, before = scratch / "clock", lab.state()
    environment = {"LD_PRELOAD": str(library), "VXQUAL_CLOCK_BACK": str(back)}
    with started(out, *fresh(lab.topology, out), environment=environment) as run:
        in_time = _first_cell(run)
        back.touch()
        problems = run.wait()
        said = run.said()
    problems += [] if in_time else ["the run had ended before"]
    problems += _after(lab, before)
    if verdicts(out) == wanted:
        times = read_matrix((out / "latest").resolve() / MATRIX).run
        in_order = times.finished is None or times.started <= times.finished
        problems += ["its clock did not go back"] if in_order else []
    else:
        problems.append(f"other verdicts: {verdicts(out)}; it printed {said[-1500:]}")
    problems += complete(lab.topology, out, wanted)
    return Trial(what, tuple(problems))
