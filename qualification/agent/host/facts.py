"""Reads facts about a host and its interfaces. It changes nothing."""

from __future__ import annotations

import fcntl
import os
import platform
import socket
import struct
from contextlib import closing
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.ethtool.ioctl import IoctlEthtool, NotSupportedError

from qualification.messages.host import SERIALS, HostFacts, NicFacts

from . import features, links, machine, mtu
from .settings import read as settings

_SIOCETHTOOL = 0x8946
_ETHTOOL_GDRVINFO = 3
# struct ethtool_drvinfo, include/uapi/linux/ethtool.h: cmd, driver, version, fw_version, bus, …
_DRVINFO = struct.Struct("=I32s32s32s32s32s12s5I")
_UNKNOWN_SPEED = 0xFFFFFFFF


def host(verifier: str) -> HostFacts:
    """Returns facts about this host.

    Args:
        verifier: Which implementation verifies frames here: `wire.native.Native.says`.
    """
    with IPRoute() as route:
        names = tuple(str(link.get("ifname")) for link in route.get_links())
    return HostFacts(
        hostname=socket.gethostname(),
        kernel=platform.release(),
        os=_os_name(),
        cpu=_cpu_name(),
        cpus=os.cpu_count() or 1,
        python=platform.python_version(),
        namespace=os.stat("/proc/thread-self/ns/net").st_ino,  # noqa: PTH116
        interfaces=tuple(sorted(name for name in names if name != "lo")),
        verifier=verifier,
        hypervisor=machine.hypervisor(),
        machine=machine.machine(),
        hardware_version=machine.hardware_version(),
        boot_id=machine.boot_id(),
        loop_seconds=machine.loop_seconds(),
    )


def nic(interface: str) -> NicFacts:
    """Returns facts about an interface.

    Raises:
        AgentProblem: There is none of that name.
    """
    link = links.find(interface)
    driver = _driver(interface)
    bus = driver.get("bus_info")
    return NicFacts(
        interface=interface,
        mac=str(link.get("address")),
        mtu=int(link.get("mtu")),
        up=links.is_up(interface),
        carrier=links.has_carrier(interface),
        driver=driver.get("driver"),
        driver_version=driver.get("version"),
        firmware=driver.get("fw_version"),
        bus=bus,
        pci_id=_pci_id(bus, "vendor", "device"),
        speed_mbps=_speed(interface),
        queues=_set(interface, "get_channels", ("rx_count", "tx_count", "combined_count")),
        rings=_set(interface, "get_rings", ("rx", "tx")),
        devlink=_devlink(bus),
        addresses=tuple(links.addresses(link["index"])),
        features=features.read(interface),
        max_mtu=mtu.most(link) or None,
        pci_subsystem=_pci_id(bus, "subsystem_vendor", "subsystem_device"),
        settings=settings.read(interface, bus),
    )


def _driver(interface: str) -> dict[str, str]:
    """Returns the values of `ethtool -i`; empty ones and "N/A" are left out."""
    import ctypes  # noqa: PLC0415  (only this ioctl needs it; pyroute2 has no GDRVINFO)

    info = ctypes.create_string_buffer(_DRVINFO.size)
    struct.pack_into("=I", info, 0, _ETHTOOL_GDRVINFO)
    request = struct.pack("16sP", interface.encode(), ctypes.addressof(info))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            fcntl.ioctl(sock, _SIOCETHTOOL, request.ljust(40, b"\0"))
        except OSError:
            return {}
    fields = _DRVINFO.unpack(info.raw)[1:5]
    texts = [field.split(b"\0")[0].decode("utf-8", "replace").strip() for field in fields]
    named = dict(zip(("driver", "version", "fw_version", "bus_info"), texts))  # noqa: B905
    return {name: text for name, text in named.items() if text and text != "N/A"}


def _set(interface: str, query: str, names: tuple[str, ...]) -> dict[str, int]:
    return {name: count for name, count in numbers(interface, query, names).items() if count}


def numbers(interface: str, query: str, names: tuple[str, ...]) -> dict[str, int]:
    """Returns numbers of an ethtool structure; none if the driver lacks it.

    Args:
        interface: The interface.
        query: The method of pyroute2's `IoctlEthtool` that asks for the structure.
        names: Names of its fields, as pyroute2 has them; they are returned without "_count".
    """
    with closing(IoctlEthtool(interface)) as ethtool:
        try:
            answer = getattr(ethtool, query)()
        except (NotSupportedError, OSError):
            return {}
        return {name.replace("_count", ""): int(getattr(answer, name)) for name in names}


def _speed(interface: str) -> int | None:
    try:
        text = Path("/sys/class/net", interface, "speed").read_text(encoding="ascii")
        speed = int(text)
    except (OSError, ValueError):
        return None
    return speed if 0 < speed != _UNKNOWN_SPEED else None


def _pci_id(bus: str | None, *files: str) -> str | None:
    """Returns an id of the device at a PCI address, "8086:1572".

    Args:
        bus: The address, "0000:3b:00.0".
        files: The files of sysfs that have its two parts
            (Documentation/ABI/testing/sysfs-bus-pci).
    """
    if not bus:
        return None
    device = Path("/sys/bus/pci/devices", bus)
    try:
        ids = [(device / name).read_text(encoding="ascii").strip() for name in files]
    except OSError:
        return None
    return ":".join(text[2:] for text in ids)


def _devlink(bus: str | None) -> dict[str, str]:
    """Returns the serial numbers and versions of `devlink dev info`, if the device has any.

    pyroute2 has no DEVLINK_CMD_INFO_GET, so this runs the tool if the host has it.
    """
    import json  # noqa: PLC0415
    import shutil  # noqa: PLC0415
    import subprocess  # noqa: PLC0415

    tool = shutil.which("devlink")
    if not bus or tool is None:
        return {}
    try:
        answer = subprocess.run(
            [tool, "-j", "dev", "info", "pci/" + bus],
            capture_output=True,
            timeout=10,
            check=True,
        )
        info: dict[str, Any] = json.loads(answer.stdout)["info"]["pci/" + bus]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError):
        return {}
    serials = {name: str(info[name]) for name in SERIALS if info.get(name)}
    return serials | {
        f"{kind}.{name}": str(version)
        for kind, versions in info.get("versions", {}).items()
        for name, version in versions.items()
    }


def _os_name() -> str:
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.system()
    pairs = dict(line.split("=", 1) for line in lines if "=" in line)
    return pairs.get("PRETTY_NAME", platform.system()).strip('"')


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.machine()
