"""Two pairs on the ports of the same two hosts run at the same time, each with its own fault."""

from __future__ import annotations

from pathlib import Path

import pytest

from qualification.plan.features import TNL_CSUM

from .conftest import SMALL, rows, vxqual

pytestmark = pytest.mark.lab

TOPOLOGY = """
version: 1
hosts:
  alpha:
    nics:
      port0: {interface: port0, underlay: [198.18.1.1/24]}
      port1: {interface: port1, underlay: [198.18.2.1/24]}
  bravo:
    nics:
      port0: {interface: port0, underlay: [198.18.1.2/24]}
      port1: {interface: port1, underlay: [198.18.2.2/24]}
pairs:
  good: {dut: alpha.port0, peer: bravo.port0}
  faulty: {dut: alpha.port1, peer: bravo.port1}
lab:
  kind: loopback
  firmwares:
    alpha.port1: {model: random-p, p: 0.3}
"""


def test_each_pair_is_judged_for_itself(tmp_path: Path) -> None:
    file, out = tmp_path / "lab.yaml", tmp_path / "out"
    file.write_text(TOPOLOGY)
    done = vxqual(
        *("run", "-t", file, *SMALL, "-n", "2", "--out", out, "--no-symptom"),
        *("-k", "all-on/outer4-csum/inner4/tcp]"),
    )
    assert done.returncode == 1, done.stdout
    found = {name.split("/")[0]: row for name, row in rows(out).items()}
    assert {pair: row["verdict"] for pair, row in found.items()} == {
        "good": "PASS",
        "faulty": "FAIL",
    }
    assert found["good"]["effective"][TNL_CSUM] and found["faulty"]["bad"] > 0
