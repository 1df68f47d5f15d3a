"""NICs that are right until something has happened to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import SMALL, TOPOLOGIES, four_only, rows, vxqual

pytestmark = [pytest.mark.lab, pytest.mark.slow]


@pytest.mark.parametrize(
    ("model", "cells", "wrong"),
    [
        ("after-reset", "udp/lengths", {("reset", 4789)}),
        # The second port took the first one's place; it is right itself.
        ("port-stolen", "udp/lengths and not reset", {("two-ports", 4789)}),
    ],
)
def test_a_nic_that_is_wrong_afterwards(
    tmp_path: Path, model: str, cells: str, wrong: set[tuple[str, int]]
) -> None:
    topology, out = tmp_path / "lab.yaml", tmp_path / "out"
    text = four_only((TOPOLOGIES / "loopback.yaml").read_text())
    text += f"  firmwares:\n    alpha.port0: {{model: {model}, large: cut}}\n"
    topology.write_text(text)
    done = vxqual(
        *("run", "-t", topology, *SMALL, "--no-symptom", "--out", out),
        *("-k", f"all-on and outer4-csum and inner6 and ({cells}) or culprit"),
    )
    assert done.returncode == 1, done.stdout
    found = rows(out)
    for cell in found.values():
        flow = cell["flow"]
        expected = "FAIL" if (flow["state"], flow["port"]) in wrong else "PASS"
        assert cell["verdict"] == expected, cell
        assert cell["culprit"] is None
    states = {(cell["flow"]["state"], cell["flow"]["port"]) for cell in found.values()}
    assert states >= {("", 4789), ("two-ports", 8472), ("two-ports", 4789), *wrong}
    [(state, _)] = wrong
    assert f" @{state}" in done.stdout
