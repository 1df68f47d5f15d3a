"""What a run takes of its topology, and how many pairs run at a time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from qualification.errors import UsageError
from qualification.run.prepare import with_kernel, worker_count
from qualification.topology import QemuLab, Topology


def topology(**lab: Any) -> Topology:
    models = ["igb", "e1000e", "vmxnet3"]

    def nics(host: int) -> dict[str, object]:
        return {m: {"interface": m, "underlay": [f"198.18.{n}.{host}/24"]}
                for n, m in enumerate(models)}  # fmt: skip

    return Topology.model_validate(
        {
            "version": 1,
            "hosts": {"alpha": {"nics": nics(1)}, "bravo": {"nics": nics(2)}},
            "pairs": {m: {"dut": f"alpha.{m}", "peer": f"bravo.{m}"} for m in models},
            "lab": {"kind": "qemu", "models": models} | lab,
        }
    )


def booted(*args: Any, **lab: Any) -> tuple[str | None, str | None]:
    found = with_kernel(topology(**lab), *args).lab
    assert isinstance(found, QemuLab)
    return found.kernel, found.modules


def test_a_kernel_comes_with_the_modules_beside_it(tmp_path: Path) -> None:
    kernel = str(tmp_path / "bzImage")
    assert booted(None, None) == (None, None)
    assert booted(kernel, None) == (kernel, None)
    assert booted(kernel, None, modules="/other", kernel="/k") == (kernel, "/other")
    beside = tmp_path / "lib/modules/6.18.0"
    beside.mkdir(parents=True)
    (beside / "modules.dep").touch()
    assert booted(kernel, None, modules="/other", kernel="/k") == (kernel, str(beside))
    assert booted(kernel, "/given") == (kernel, "/given")
    assert booted(None, "/given", kernel="/k") == ("/k", "/given")


def test_only_a_qemu_lab_boots_a_kernel() -> None:
    real = topology().model_copy(update={"lab": None})
    with pytest.raises(UsageError, match="--vx-kernel: only a QEMU lab boots a kernel"):
        with_kernel(real, "bzImage", None)
    with pytest.raises(UsageError, match="--vx-modules: only a QEMU lab"):
        with_kernel(real, None, "modules")


@pytest.mark.parametrize(
    ("cpus", "memory", "workers"),
    [(2, 320, 1), (8, 512, 1), (8, 640, 2), (2, 640, 1), (16, 2048, 3)],
)
def test_pairs_that_share_guests_need_cpus_and_memory_there(
    monkeypatch: pytest.MonkeyPatch, cpus: int, memory: int, workers: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cpus)
    lab = topology(memory=memory)
    assert worker_count(lab, tuple(lab.pairs)) == workers
