"""Pairs of one group go to one worker, which runs them in turn."""

from __future__ import annotations

import json
import os
from collections import defaultdict

import pytest

from qualification.run.prepare import worker_count
from qualification.run.scheduling import PairScheduling
from qualification.topology import Topology

GROUPS = {"x710": "x710", "x710-back": "x710", "e810": "e810", "cx6": "cx6"}

CONFTEST = f"""
import json
import pytest
from qualification.run.scheduling import PairScheduling

@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    return PairScheduling(config, log, {GROUPS!r})

def pytest_runtest_logreport(report):
    if report.when == "call" and hasattr(report, "node"):  # on the controller
        with open("ran.jsonl", "a") as file:
            file.write(json.dumps([report.nodeid, report.node.gateway.id]) + "\\n")
"""

TESTS = f"""
import pytest

@pytest.mark.parametrize(
    "cell", [f"{{pair}}/{{on}}/outer4-csum/inner4/tcp" for on in "abc" for pair in {list(GROUPS)!r}]
)
def test_cell(cell):
    pass

@pytest.mark.parametrize("control", [f"{{pair}}/plain" for pair in {list(GROUPS)!r}])
def test_control(control):
    pass
"""


@pytest.mark.parametrize(
    ("nodeid", "scope"),
    [
        ("test_2_checksums.py::test_cell[x710/all-on/outer4-csum/inner4/tcp]", "x710"),
        ("test_2_checksums.py::test_cell[x710-back/all-off/outer6-csum/inner6/udp]", "x710"),
        ("deep/test_1_controls.py::test_control[e810/all-off]", "e810"),
        ("test_2.py::test_cell[nobody/all-on/x]", "test_2.py::test_cell[nobody/all-on/x]"),
        ("test_of_somebody_else.py::test_x710", "test_of_somebody_else.py::test_x710"),
    ],
)
def test_a_test_belongs_to_the_group_of_its_pair(
    pytester: pytest.Pytester, nodeid: str, scope: str
) -> None:
    config = pytester.parseconfig("--tx=2*popen")
    assert PairScheduling(config, None, GROUPS)._split_scope(nodeid) == scope


def test_on_real_workers(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(TESTS)
    pytester.runpytest_subprocess("-n", "3").assert_outcomes(passed=16)
    ran = [json.loads(line) for line in (pytester.path / "ran.jsonl").read_text().splitlines()]
    workers = defaultdict(set)
    for nodeid, worker in ran:
        workers[GROUPS[nodeid.partition("[")[2].partition("/")[0].rstrip("]")]].add(worker)
    assert {group: len(some) for group, some in workers.items()} == {"x710": 1, "e810": 1, "cx6": 1}
    assert len(set.union(*workers.values())) == 3, "groups run side by side"


@pytest.mark.parametrize("lab", [None, {"kind": "loopback"}])
def test_auto_runs_all_pairs_but_on_one_machine_no_more_than_it_can_serve(
    lab: dict[str, str] | None,
) -> None:
    cpus = os.cpu_count() or 1
    hosts = {}
    for n in range(16 * cpus):
        nic = {"interface": "p", "underlay": [f"198.18.{n // 2}.{n % 2 + 1}/24"]}
        ssh = {"ssh": {"address": f"h{n}"}} if lab is None else {}
        hosts[f"h{n}"] = {"nics": {"p": nic}, **ssh}
    pairs = {f"p{n}": {"dut": f"h{2 * n}.p", "peer": f"h{2 * n + 1}.p"} for n in range(8 * cpus)}
    topology = Topology.model_validate({"version": 1, "hosts": hosts, "pairs": pairs, "lab": lab})
    assert worker_count(topology, list(pairs)) == (8 * cpus if lab is None else 2 * cpus)
    assert worker_count(topology, ["p0"]) == 1
