"""Whole runs on hosts of Debian's oldest and newest release, each with its kernel and its Python.

What the loopback lab cannot show is exercised here: drivers of others with several queues, 8021q
devices, partial GSO, NICs that insert tags, and NICs that check what they receive.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qualification.topology import Topology, dump

VXQUAL = Path(sys.executable).with_name("vxqual")
MODELS = ("e1000e", "igb", "vmxnet3")
SETTLED = {"PASS", "NOT EXERCISED", "UNSUPPORTED"}


def version(text: str) -> tuple[int, int]:
    """Give the first two numbers of a version."""
    major, minor = text.split(".")[:2]
    return int(major), int(minor)


@pytest.mark.real_drivers
@pytest.mark.parametrize(
    ("suite", "kernel_suite", "kernels", "pythons"),
    [
        ("bullseye", "bullseye", ((5, 10), (5, 10)), ((3, 9), (3, 9))),
        ("trixie", "trixie-backports", ((6, 12), (99, 0)), ((3, 13), (3, 13))),
    ],
)
def test_hosts_of_a_release_are_judged(
    ready: None,
    guests: Callable[..., Topology],
    tmp_path: Path,
    suite: str,
    kernel_suite: str,
    kernels: tuple[tuple[int, int], tuple[int, int]],
    pythons: tuple[tuple[int, int], tuple[int, int]],
) -> None:
    lab = guests(*MODELS, suite=suite, kernel_suite=kernel_suite, cpus=2).model_dump(mode="json")
    for pair in lab["pairs"].values():
        pair["vlan"] = 7
    file = tmp_path / "topology.yaml"
    file.write_text(dump(Topology.model_validate(lab)))
    done = subprocess.run(
        [VXQUAL, "run", file, "--plan", "quick", "--rate", "0.005", "--out", tmp_path / "out",
         "-k", "all-on and outer4-csum and inner4 and not load and not both"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    assert (tmp_path / "out/latest/matrix.json").exists(), done.stdout
    run = json.loads((tmp_path / "out/latest/run.json").read_text())
    for name, nic in run["campaign"]["inventory"]["nics"].items():
        assert kernels[0] <= version(nic["host"]["kernel"]) <= kernels[1]
        assert pythons[0] <= version(nic["host"]["python"]) <= pythons[1]
        if name.endswith(".igb"):
            assert nic["facts"]["queues"]["combined"] == 2
    matrix = json.loads((tmp_path / "out/latest/matrix.json").read_text())
    cells = {cell["id"]: cell for cell in matrix["cells"]}
    for model in MODELS:
        verdicts = {c["verdict"] for name, c in cells.items() if name.startswith(f"{model}/")}
        assert "PASS" in verdicts, done.stdout
        # QEMU's igb does not know tunnels: docs/qemu-models.md.
        assert verdicts <= SETTLED | ({"FAIL"} if model == "igb" else set()), done.stdout
    for traffic in ("rx/outer4-csum/", "outer4-csum-vlan-nic/", "outer4-csum-vlan-kernel/"):
        passed = [c for c in cells.values() if traffic in c["id"] and c["verdict"] == "PASS"]
        assert passed, traffic
    assert any(cell["effective"].get("tx-gso-partial") for cell in cells.values())
