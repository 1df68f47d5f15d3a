"""What drivers and kernels of others change beside what was asked for is put back, too."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from qualification.topology import Topology, dump

VXQUAL = Path(sys.executable).with_name("vxqual")


@pytest.mark.real_drivers
def test_a_vlan_device_takes_lro_from_the_nic_below(
    ready: None, guests: Callable[..., Topology], tmp_path: Path
) -> None:
    """vmxnet3 has LRO on; a VLAN device ends it, and the kernel does not bring it back."""
    found = guests("vmxnet3").model_dump(mode="json")
    found["pairs"]["vmxnet3"]["vlan"] = 7
    file = tmp_path / "topology.yaml"
    file.write_text(dump(Topology.model_validate(found)))
    done = subprocess.run(
        [VXQUAL, "run", file, "--plan", "quick", "--rate", "0.02", "--out", tmp_path / "out",
         "-k", "all-on/outer4-csum-vlan-kernel/inner4/udp"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    matrix = tmp_path / "out/latest/matrix.json"
    assert matrix.exists(), done.stdout + done.stderr
    verdicts = [cell["verdict"] for cell in json.loads(matrix.read_text())["cells"]]
    assert verdicts == ["NOT EXERCISED"], done.stdout
    assert "left changed" not in done.stdout
    assert "feature rx-lro" not in (tmp_path / "out/latest/vxqual.log").read_text()
