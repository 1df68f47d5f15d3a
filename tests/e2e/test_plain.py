"""Traffic without a tunnel that a NIC takes for VXLAN, in a whole run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import SMALL, TOPOLOGIES, four_only, rows, vxqual

pytestmark = [pytest.mark.lab, pytest.mark.slow]


def test_a_nic_that_takes_plain_udp_for_a_tunnel(tmp_path: Path) -> None:
    topology = tmp_path / "plain.yaml"
    text = four_only((TOPOLOGIES / "loopback.yaml").read_text())
    topology.write_text(text + "  firmwares: {alpha.port0: {model: plain-4789}}\n")
    done = vxqual(
        *("run", "-t", topology, *SMALL, "--out", tmp_path),
        *("-k", "all-on and (plain4 or outer4-csum/inner4 and (udp] or lengths))"),
    )
    assert done.returncode == 1, done.stdout
    verdicts = {id_.partition("all-on/")[2]: cell for id_, cell in rows(tmp_path).items()}
    taken = {f"plain4/udp/port-{port}" for port in (4789, 4790, 6081)}
    fine = {"plain4/tcp/lengths", "plain4/udp/lengths", "plain4/udp/port-8472"}
    assert taken | fine < set(verdicts)
    for name, cell in verdicts.items():
        assert cell["verdict"] == ("FAIL" if name in taken else "PASS"), cell
        assert cell["flow"]["tunnel"] is not name.startswith("plain")
        if name in taken:
            assert cell["bad"] == cell["frames"] >= 400
            assert "seed-left, outer L4" in cell["signature"]
    assert re.search(r"^ +outer4-csum  plain4$", done.stdout, re.MULTILINE)
    assert re.search(r"^  all-on port-4789 +F$", done.stdout, re.MULTILINE)
