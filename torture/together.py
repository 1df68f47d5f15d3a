"""Controllers and pairs that share hosts."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from .lab import HOSTS, Lab
from .runs import fresh, started, verdicts, vxqual
from .trial import Setting, Trial

_LEASED = re.compile(r"in use by|is leased|has the lease|another vxqual", re.IGNORECASE)


def controllers(setting: Setting) -> Iterator[Trial]:
    """Starts two controllers at the same moment: one qualifies, the other stops and says who."""
    wanted = setting.labs.calm.verdicts

    def trial(lab: Lab, number: int) -> Trial:
        return _controllers(setting.scratch / f"both-{number}", lab, wanted)

    yield from setting.labs.try_all(trial, range(max(1, setting.times // 5)))


def _controllers(scratch: Path, lab: Lab, wanted: Mapping[str, str]) -> Trial:
    before, problems = lab.state(), []
    scratch.mkdir()
    outs = [scratch / which for which in "ab"]
    with (
        started(outs[0], *fresh(lab.topology, outs[0])) as one,
        started(outs[1], *fresh(lab.topology, outs[1])) as two,
    ):
        problems += [*one.wait(), *two.wait()]
        runs = sorted((one, two), key=lambda run: run.process.returncode)
        codes = [run.process.returncode for run in runs]
        said = [run.said() for run in runs]
    if codes == [1, 10]:
        if not _LEASED.search(said[1]):
            problems.append(f"the second did not say who has the NICs: {said[1][-1500:]}")
        if verdicts(runs[0].out) != wanted:
            problems.append("the first has other verdicts than alone")
        ran = {v for v in verdicts(runs[1].out).values() if v in ("PASS", "FAIL")}
        problems += [f"the second judged cells: {ran}"] if ran else []
    elif codes == [1, 1]:  # the second began after the first had ended
        others = [run for run in runs if verdicts(run.out) != wanted]
        problems += ["a run has other verdicts than alone" for _ in others]
    else:
        problems.append(f"exit codes {codes}: {said[0][-1000:]} {said[1][-1500:]}")
    problems += lab.left()
    problems += lab.changed(before)
    shutil.rmtree(scratch, ignore_errors=True)
    return Trial(f"two controllers at once, exit codes {codes}", tuple(problems))


def pairs(setting: Setting) -> Iterator[Trial]:
    """Qualifies two NICs of the same two hosts side by side, each with a fault of its own."""
    faults = {"soft": ("seed-left", "seed-left"), "other": ("outer-dscp", "outer-header")}
    source = setting.scratch / "pairs.json"
    hosts = {
        host: {
            "nics": {
                f"port{n}": {"interface": f"port{n}", "underlay": [f"198.18.{n}.{number}/24"]}
                for n in range(2)
            }
        }
        for number, host in enumerate(HOSTS, 1)
    }
    document = {
        "version": 1,
        "hosts": hosts,
        "pairs": {
            name: {"dut": f"alpha.port{n}", "peer": f"bravo.port{n}"}
            for n, name in enumerate(faults)
        },
        "lab": {
            "kind": "loopback",
            "firmwares": {
                f"alpha.port{n}": {"model": m} for n, (m, _) in enumerate(faults.values())
            },
        },
    }
    source.write_text(json.dumps(document))
    out = setting.scratch / "pairs"
    plan = ("--plan", "quick", "--rate", "0.05", "--confidence", "0.9", "-n", "2")
    done = vxqual("run", source, *plan, "-k", "all-on and inner4", "--out", out)
    matrix = json.loads((out / "latest/matrix.json").read_text())
    problems = []
    for name, (fault, signature) in faults.items():
        found = {
            cell["signature"].partition(":")[0].partition(",")[0]
            for cell in matrix["cells"]
            if cell["id"].startswith(f"{name}/") and cell.get("signature")
        }
        if found != {signature}:
            problems.append(f"pair {name} has {fault} and shows {sorted(found)}")
    if done.returncode != 1:
        problems.append(f"exit code {done.returncode}: {done.stdout[-1500:]}")
    yield Trial("two faulty NICs of the same two hosts side by side", tuple(problems))
