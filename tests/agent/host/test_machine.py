"""What a host says it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from qualification.agent.host import machine


@pytest.fixture
def dmi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(machine, "_DMI", tmp_path)
    monkeypatch.setattr(machine, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(machine, "_XEN", tmp_path / "xen")
    monkeypatch.setattr(machine.shutil, "which", lambda _: None)
    (tmp_path / "cpuinfo").write_text("model name\t: x\nflags\t\t: fpu hypervisor lm\n")
    return tmp_path


def test_a_guest_of_qemu(dmi: Path) -> None:
    (dmi / "sys_vendor").write_text("QEMU\n")
    (dmi / "product_name").write_text("Standard PC (Q35 + ICH9, 2009)\n")
    (dmi / "product_version").write_text("pc-q35-10.0\n")
    assert machine.hypervisor() == "qemu"
    assert machine.machine() == "QEMU Standard PC (Q35 + ICH9, 2009)"
    assert machine.hardware_version() == "pc-q35-10.0"


def test_vmware_has_its_version_in_the_name(dmi: Path) -> None:
    (dmi / "sys_vendor").write_text("VMware, Inc.\n")
    (dmi / "product_name").write_text("VMware20,1\n")
    (dmi / "product_version").write_text("None\n")
    assert machine.hypervisor() == "vmware"
    assert machine.machine() == "VMware, Inc. VMware20,1"
    assert machine.hardware_version() == ""


def test_bare_metal_and_an_unknown_hypervisor(dmi: Path) -> None:
    assert machine.hypervisor() == "unknown"
    (dmi / "xen").write_text("xen\n")
    assert machine.hypervisor() == "xen"
    (dmi / "xen").unlink()
    (dmi / "sys_vendor").write_text("QEMU\n")  # its maker says nothing where the CPU is real
    (dmi / "cpuinfo").write_text("flags\t\t: fpu lm\n")
    assert machine.hypervisor() == ""


@pytest.mark.parametrize(("said", "hypervisor"), [("none", ""), ("kvm", "kvm")])
def test_systemd_knows_best(
    dmi: Path, monkeypatch: pytest.MonkeyPatch, said: str, hypervisor: str
) -> None:
    tool = dmi / "systemd-detect-virt"
    tool.write_text(f"#!/bin/sh\necho {said}\n[ {said} != none ]\n")
    tool.chmod(0o755)
    monkeypatch.setattr(machine.shutil, "which", lambda _: str(tool))
    assert machine.hypervisor() == hypervisor
