"""How a NIC is set up: what drivers and tools say, and hosts that have neither."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from qualification.agent.host.settings import read
from qualification.inventory import Ends
from qualification.messages.decode import decode
from qualification.messages.host import MOST_LINES, MOST_WIDTH, NicSettings
from qualification.messages.plausible import implausible
from qualification.messages.protocol import fields_of

BUS = "0000:3b:00.0"


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A /sys with one PCI device, whose driver has parameters, and a directory for tools."""
    (tmp_path / "bus/pci/devices" / BUS).mkdir(parents=True)
    parameters = tmp_path / "class/net/p0/device/driver/module/parameters"
    parameters.mkdir(parents=True)
    (parameters / "debug").write_text("-1\n")
    (parameters / "long").write_text("x" * 5000)
    (parameters / "only_written").mkdir()  # which cannot be read either
    (tmp_path / "bin").mkdir()
    monkeypatch.setattr(read, "_SYS", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    return tmp_path


def lspci(system: Path, script: str) -> None:
    tool = system / "bin/lspci"
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)


def test_the_parameters_of_the_module(system: Path) -> None:
    assert read._module("p0") == {"debug": "-1", "long": "x" * MOST_WIDTH}
    assert read._module("p1") == {}


def test_what_lspci_says(system: Path) -> None:
    lspci(
        system, r"""test "$*" = "-vvv -nn -s 0000:3b:00.0" && printf 'a\n\n\t\tb \033[1m\377\n'"""
    )
    assert read._pci(BUS) == ("a", "    b \x1b[1m\ufffd")
    assert read._pci("0000:3b:00.1") == read._pci(None) == ()


@pytest.mark.parametrize("script", ["exit 1", "kill $$", "sleep 9"])
def test_a_tool_that_fails_is_no_matter(
    system: Path, script: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "_LSPCI_SECONDS", 0.3)
    lspci(system, f"echo half\n{script}")
    assert read._pci(BUS) == ()


def test_however_much_lspci_says_an_answer_is_bounded(system: Path) -> None:
    lspci(system, "yes $(yes x | head -3000 | tr -d '\\n') | head -3000")
    lines = read._pci(BUS)
    assert len(lines) == MOST_LINES
    assert {len(line) for line in lines} == {MOST_WIDTH}
    assert implausible(NicSettings(pci=lines)) is None
    assert implausible(NicSettings(pci=(*lines, "")), "pci") is not None
    assert implausible(NicSettings(module={"a": "x" * 9999})) == (
        ".module: has a text of more than 2000 characters"
    )


@pytest.mark.lab
def test_a_veth(net: Any) -> None:
    host, _ = net.wire()
    with host.inside():
        found = read.read("w0", None)
    assert found.limits["queues rx"] >= 1
    assert found.module == {}
    assert found.pci == ()
    assert decode(NicSettings, fields_of(found)) == found


@pytest.mark.lab
def test_a_lab_nic(ends: Ends) -> None:
    assert ends.dut.facts.settings.pci == ()
    assert read.read("no-such-nic", BUS) == NicSettings()
