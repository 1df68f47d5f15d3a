"""Facts about hosts and their interfaces, and their counters."""

from __future__ import annotations

import json
import os
import platform
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.ethtool.ioctl import EthtoolRingParam
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether

from qualification.agent.host import counters, facts, namespaces
from qualification.inventory import Ends

COUNTS = st.dictionaries(st.text("abc.", min_size=1), st.integers(0, 9))


@given(COUNTS, COUNTS)
def test_moved(before: dict[str, int], after: dict[str, int]) -> None:
    moved = counters.moved(before, after)
    assert all(moved.values())
    assert moved.keys() <= after.keys()
    for name, value in after.items():
        assert before.get(name, 0) + moved.get(name, 0) == value


def test_what_devlink_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The form of `devlink -j dev info` (iproute2, devlink/devlink.c, cmd_dev_info)."""
    answer = {
        "info": {
            "pci/0000:3b:00.0": {
                "driver": "ice",
                "serial_number": "00-01-00-ff-ff-00-00-00",
                "board.serial_number": "",
                "versions": {"fixed": {"board.id": "K65390-000"}, "running": {"fw.mgmt": "5.4.5"}},
            }
        }
    }
    tool = tmp_path / "devlink"
    tool.write_text(f"#!/bin/sh\ncat <<'END'\n{json.dumps(answer)}\nEND\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert facts._devlink("0000:3b:00.0") == {
        "serial_number": "00-01-00-ff-ff-00-00-00",
        "fixed.board.id": "K65390-000",
        "running.fw.mgmt": "5.4.5",
    }
    assert facts._devlink("0000:3b:00.1") == {}


def test_the_ring_sizes_are_those_of_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """No device of this machine has to have rings; the structure is what the kernel fills in."""
    filled = EthtoolRingParam(rx_max=4096, tx_max=4096, rx=512, tx=256)
    monkeypatch.setattr(facts.IoctlEthtool, "get_rings", lambda _self: filled)
    assert facts._set("lo", "get_rings", ("rx", "tx")) == {"rx": 512, "tx": 256}
    with pytest.raises(AttributeError):
        facts._set("lo", "get_rings", ("rx_pending",))
    monkeypatch.setattr(facts.IoctlEthtool, "get_rings", lambda _self: EthtoolRingParam(rx=9))
    assert facts.nic("lo").rings == {"rx": 9}


def test_ids_of_chip_and_board() -> None:
    """Of any PCI device of this machine, as lspci(8) reads them."""
    devices = sorted(Path("/sys/bus/pci/devices").glob("*"))
    if not devices:
        pytest.skip("this machine has no PCI device")
    read = [(devices[0] / name).read_text().strip()[2:] for name in ("vendor", "device")]
    assert facts._pci_id(devices[0].name, "vendor", "device") == ":".join(read)
    board = facts._pci_id(devices[0].name, "subsystem_vendor", "subsystem_device")
    assert board is not None
    assert re.fullmatch(r"[0-9a-f]{4}:[0-9a-f]{4}", board)
    assert facts._pci_id("no such bus", "vendor", "device") is None
    assert facts._pci_id(None, "vendor", "device") is None


@pytest.mark.lab
def test_a_lab_nic(ends: Ends) -> None:
    nic = ends.dut.facts
    assert (nic.interface, nic.mtu, nic.up, nic.carrier, nic.driver) == (
        "port0", 1500, True, True, "tun",
    )  # fmt: skip
    assert nic.mac != ends.peer.facts.mac
    assert nic.mac[1] in "26ae"
    assert nic.firmware is None
    assert nic.pci_id is None
    assert nic.devlink == {}
    assert not any(address.startswith("198.18.") for address in nic.addresses)
    assert nic.features["tx-udp_tnl-csum-segmentation"].hw
    assert not nic.features["rx-checksum"].hw
    assert ends.dut.firmware == "good"
    host = ends.dut.host
    assert host.interfaces == ("port0",)
    assert host.kernel == platform.release()
    assert host.hostname == socket.gethostname()
    assert host.cpus == os.cpu_count()
    assert host.namespace != ends.peer.host.namespace


@pytest.mark.lab
def test_what_is_missing_does_not_hide_what_is_there(remote_agent: Any) -> None:
    answer = remote_agent("alpha").call("facts", timeout=30, interfaces=["port7", "port0", "lo"])
    assert list(answer["nics"]) == ["port0", "lo"]
    assert answer["nics"]["lo"]["driver"] is None
    assert answer["nics"]["lo"]["mac"] == "00:00:00:00:00:00"
    problem = answer["problems"]["port7"]
    assert problem["kind"] == "no-such-interface"
    assert "port0" in problem["hint"]


@pytest.mark.lab
def test_a_veth(net: Any) -> None:
    host, other = net.wire()
    host.ip("address", "add", "192.0.2.1/24", "dev", "w0")
    host.ip("link", "set", "w0", "mtu", "1400")
    with host.inside():
        nic = facts.nic("w0")
        found = facts.host("native C")
    assert (nic.driver, nic.mtu, nic.up, nic.carrier) == ("veth", 1400, True, True)
    assert nic.mac == host.mac("w0")
    assert nic.addresses == ("192.0.2.1/24",)
    assert nic.queues == {"rx": 1, "tx": 1}
    assert nic.features["tx-checksum-ip-generic"].hw
    assert not nic.features["tx-checksum-ip-generic"].active
    assert found.interfaces == ("w0",)
    assert found.namespace == Path(f"/run/netns/{host.name}").stat().st_ino
    other.ip("link", "set", "w0", "down")
    with host.inside():
        nic = facts.nic("w0")
    assert (nic.up, nic.carrier) == (True, False)


@pytest.mark.lab
@pytest.mark.parametrize("family", [4, 6])
def test_a_bad_checksum_is_counted_by_the_kernel(net: Any, until: Any, family: int) -> None:
    sender, host = net.wire()
    host.ip("address", "add", "192.0.2.1/24", "dev", "w0")
    host.ip("address", "add", "fd00::1/64", "dev", "w0", "nodad")
    ip = IP(src="192.0.2.2", dst="192.0.2.1") if family == 4 else IPv6(src="fd00::2", dst="fd00::1")
    right = Ether(src=sender.mac("w0"), dst=host.mac("w0")) / ip / UDP(sport=7, dport=4000) / b"odd"
    wrong = Ether(bytes(right))
    wrong[UDP].chksum ^= 0x0101
    name = "outer.Udp.InCsumErrors" if family == 4 else "outer.Udp6InCsumErrors"
    other = "outer.Udp6InCsumErrors" if family == 4 else "outer.Udp.InCsumErrors"
    with (
        host.inside(),
        socket.socket(
            socket.AF_INET if family == 4 else socket.AF_INET6, socket.SOCK_DGRAM
        ) as listener,
    ):
        listener.bind(("", 4000))
        listener.settimeout(5)
        moves = counters.CounterChanges("w0", None)
        sender.inject("w0", bytes(wrong), bytes(wrong), bytes(right))
        assert listener.recv(99) == b"odd"
        until(lambda: moves.so_far().get(name) == 2)
        moved = moves.so_far()
    assert moved["link.rx_packets"] >= 3
    assert other not in moved


@pytest.mark.lab
def test_inner_counters_are_those_of_the_tunnel(net: Any, until: Any) -> None:
    _, host = net.wire()
    tunnel = namespaces.new()
    try:
        with host.inside():
            moves = counters.CounterChanges("w0", tunnel)
            there = counters.snapshot("w0", tunnel)
            assert {name.split(".")[0] for name in there} == {
                "outer",
                "inner",
                "link",
                "nic",
                "softnet",
            }
            with (
                namespaces.inside(tunnel),
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
            ):
                from qualification.agent.host import links  # noqa: PLC0415

                links.set_up("lo", True)
                sock.sendto(b"", ("127.0.0.1", 4001))

            until(lambda: moves.so_far().get("inner.Udp.NoPorts") == 1)
            assert "outer.Udp.NoPorts" not in moves.so_far()
    finally:
        os.close(tunnel)


@pytest.mark.lab
def test_the_kernel_log_is_followed_from_now_on() -> None:
    log = counters.KernelLog()
    try:
        kernel = os.open("/dev/kmsg", os.O_WRONLY)
    except OSError:
        pytest.skip("the kernel log may not be written")
    # A new descriptor is not rate limited, and a line ends with a line feed only.
    os.write(kernel, b"vxqual test: nothing to do with it\n")
    os.write(kernel, b"vxqual test: hw csum failure\n")
    os.close(kernel)
    assert [line for line in log.news() if "vxqual" in line] == ["vxqual test: hw csum failure"]
    assert [line for line in log.news() if "vxqual" in line] == []
