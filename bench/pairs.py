"""Many pairs in parallel: the time for each, and the memory of the controller."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from .cells import qualify
from .processes import Cost
from .rows import Bar, Row, Side
from .setting import Setting

_COUNTS = (1, 8, 32)


def side_by_side(setting: Setting) -> Iterator[Row]:
    """Yields rows of the quick plan on 1, 8 and 32 pairs of the loopback lab, with `-n auto`."""
    counts = (1, 2, 3) if setting.quick else _COUNTS
    few = ("-k", "test_control or test_received") if setting.quick else ()
    costs: dict[int, list[Cost]] = {count: [] for count in counts}

    def seconds_per_pair(count: int) -> float:
        cost, _ = qualify(setting, _topology(setting.scratch, count), "--plan=quick", *few)
        costs[count].append(cost)
        return cost.wall / count

    found = setting.in_turn(
        {f"{n} pair{'s' if n > 1 else ''}": partial(seconds_per_pair, n) for n in counts},
        warm_up=False,
        rounds=1,
    )
    alone, some, many = (Side(name, values) for name, values in found.items())
    yield Row(
        work=f"{alone.name} of the loopback lab, quick plan, -n auto: time per pair",
        unit="s",
        ours=alone,
        limit="Waiting: one pair leaves the cores idle for a part of the time.",
    )
    yield Row(
        work=f"{many.name} of the loopback lab, quick plan, -n auto: time per pair, against "
        f"{some.name}",
        unit="s",
        ours=many,
        peer=some,
        bar=Bar("ratio", "at most", 1.2),
        limit="CPU: all hosts, all NICs and the controller share the cores of one machine.",
        note="measured once",
    )
    yield Row(
        work=f"the controller's memory with {many.name}",
        unit="MB",
        ours=Side("largest process", tuple(cost.peak / 1e6 for cost in costs[counts[-1]])),
        bar=Bar("value", "at most", 2000),
        limit="Modules; results and evidence are small in comparison.",
        note="of the controller, its workers and what they have started, the largest",
    )


def _topology(directory: Path, count: int) -> Path:
    """Returns a topology file with `count` pairs of soft NICs without faults.

    No two pairs share a NIC or a host.
    """
    hosts = {
        f"{side}{pair}": {
            "nics": {
                "port0": {
                    "interface": "port0",
                    "underlay": [f"198.18.{pair}.{end}/24", f"fd00:18:{pair}::{end}/64"],
                }
            }
        }
        for pair in range(1, count + 1)
        for end, side in ((1, "dut"), (2, "peer"))
    }
    pairs = {
        f"pair{pair}": {"dut": f"dut{pair}.port0", "peer": f"peer{pair}.port0"}
        for pair in range(1, count + 1)
    }
    path = directory / f"pairs-{count}.yaml"
    # JSON is a subset of YAML.
    document = {"version": 1, "hosts": hosts, "pairs": pairs, "lab": {"kind": "loopback"}}
    path.write_text(json.dumps(document, indent=1))
    return path
