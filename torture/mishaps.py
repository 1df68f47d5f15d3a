"""What happens to labs: links that flap, hosts that go, disks that fill, clocks that jump."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from .lab import Lab, await_that, lab, rebuild
from .runs import FAULT, Run, complete, fresh, started, stored, traces, verdicts, vxqual
from .trial import Setting, Trial

_FIRST_CELL_SECONDS = 60.0
_SMALL_DISK = "4m"


def mishaps(setting: Setting) -> Iterator[Trial]:
    """Disturbs the hosts and the controller in the middle of a run, and goes on with it."""
    with lab(setting.scratch, "mishaps", FAULT) as built:
        calm = setting.scratch / "calm-mishaps"
        vxqual(*fresh(built.topology, calm))
        wanted = verdicts(calm)
        yield _link(setting, built, wanted)
        yield _torn_down(setting, built, wanted)
        yield _full_controller(setting, built, wanted)
        yield _full_host(setting, built, wanted)
        yield _clock(setting, built, wanted)


def _first_cell(run: Run) -> bool:
    """Waits until a cell of a run is stored; returns whether the run still goes on then."""

    def begun() -> bool:
        found = stored(run.out) if (run.out / "latest").exists() else None
        return run.ended() or bool(found and found.finished)

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


def _link(setting: Setting, lab: Lab, wanted: Mapping[str, str]) -> Trial:
    out, before = setting.scratch / "link", lab.state()
    with started(out, *fresh(lab.topology, out)) as run:
        in_time = _first_cell(run)
        for state in ("down", "up"):
            lab.inside("bravo", "ip", "link", "set", "port0", state)
        problems = run.wait()
    problems += [] if in_time else ["the run had ended before"]
    problems += _wrongly_failed(out, wanted)
    problems += _after(lab, before)
    problems += complete(lab.topology, out, wanted)
    return Trial("the peer's link went down and up", tuple(problems))


def _torn_down(setting: Setting, lab: Lab, wanted: Mapping[str, str]) -> Trial:
    out = setting.scratch / "torn-down"
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


def _full_controller(setting: Setting, lab: Lab, wanted: Mapping[str, str]) -> Trial:
    before = lab.state()
    with _small_disk(setting.scratch / "full") as disk:
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


def _full_host(setting: Setting, lab: Lab, wanted: Mapping[str, str]) -> Trial:
    out, before = setting.scratch / "full-host", lab.state()
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


def _clock(setting: Setting, lab: Lab, wanted: Mapping[str, str]) -> Trial:
    """The controller's clock jumps back an hour, by libfaketime (Debian's package faketime)."""
    library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
    if library is None:
        return Trial("clock", ("libfaketime is missing: install Debian's package faketime",))
    out, before = setting.scratch / "clock", lab.state()
    offset = setting.scratch / "offset"
    offset.write_text("+0\n")
    environment = {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with started(out, *fresh(lab.topology, out), environment=environment) as run:
        in_time = _first_cell(run)
        offset.write_text("-3600\n")
        problems = run.wait()
    problems += [] if in_time else ["the run had ended before"]
    problems += _after(lab, before)
    if verdicts(out) != wanted:
        problems.append(f"other verdicts: {verdicts(out)}")
    problems += complete(lab.topology, out, wanted)
    return Trial("the controller's clock went back an hour", tuple(problems))
