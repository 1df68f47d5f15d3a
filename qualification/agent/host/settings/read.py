"""Reads how a NIC is set up: what a vendor asks for first. It changes nothing, and never fails.

What the driver, the kernel or the host does not have is left out. All of it is bounded, as a
driver's parameters and the text of lspci may say anything.
"""

from __future__ import annotations

import ctypes
import fcntl
import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from pyroute2.ethtool.ioctl import IoctlEthtool

from qualification.messages.host import MOST_LINES, MOST_SETTINGS, MOST_WIDTH, NicSettings

_SYS = Path("/sys")
_SIOCETHTOOL = 0x8946
_GRXFH, _GRXRINGS, _GRXCLSRLCNT = 0x29, 0x2D, 0x2E
# struct ethtool_rxnfc, include/uapi/linux/ethtool.h: cmd, flow_type, data, fs (168 bytes), rule_cnt
_RXNFC = struct.Struct("=IIQ168xI4x")
_FLOWS = {"tcp4": 0x01, "udp4": 0x02, "tcp6": 0x05, "udp6": 0x06}
"""Names that `ethtool -n DEVICE rx-flow-hash` takes, and the flow types of the kernel."""
_HASHED = {
    1 << 1: "destination MAC",
    1 << 2: "VLAN",
    1 << 3: "L3 protocol",
    1 << 4: "source address",
    1 << 5: "destination address",
    1 << 6: "source port",
    1 << 7: "destination port",
    1 << 31: "discard",
}
"""RXH_* of include/uapi/linux/ethtool.h, by their bits."""
_LSPCI_SECONDS = 5.0


def read(interface: str, bus: str | None) -> NicSettings:
    """Returns how a NIC is set up.

    Args:
        interface: The NIC.
        bus: Its PCI address, as the driver tells it; None for a device without one.
    """
    return NicSettings(
        coalescing=_coalescing(interface),
        limits=_limits(interface),
        flow_hash=dict(_flow_hash(interface)),
        module=_module(interface),
        pci=_pci(bus),
    )


def _coalescing(interface: str) -> dict[str, int]:
    """Returns what `ethtool -c` shows and is not 0."""
    found = {name: int(value) for name, value in _asked(interface, "get_coalesce").items()}
    return {name: value for name, value in found.items() if name != "cmd" and value}


def _limits(interface: str) -> dict[str, int]:
    """Returns the pre-set maximums of `ethtool -g` and `-l`."""
    rings, channels = _asked(interface, "get_rings"), _asked(interface, "get_channels")
    found = {f"ring {side}": int(rings.get(f"{side}_max", 0)) for side in ("rx", "tx")}
    for kind in ("rx", "tx", "other", "combined"):
        found[f"queues {kind}"] = int(channels.get(f"max_{kind}", 0))
    return {name: value for name, value in found.items() if value}


def _asked(interface: str, query: str) -> dict[str, Any]:
    with closing(IoctlEthtool(interface)) as ethtool:
        try:
            return dict(getattr(ethtool, query)().items())
        except Exception:
            return {}


def _flow_hash(interface: str) -> Iterator[tuple[str, str]]:
    """Yields what `ethtool -n` shows: receive queues, rules, and what spreads flows over queues."""
    for name, command in (("receive queues", _GRXRINGS), ("rules", _GRXCLSRLCNT)):
        answer = _rxnfc(interface, command)
        if answer is not None:
            yield name, str(answer[2] if command == _GRXRINGS else answer[3])
    for name, flow in _FLOWS.items():
        answer = _rxnfc(interface, _GRXFH, flow)
        if answer is not None:
            hashed = [word for bit, word in _HASHED.items() if answer[2] & bit]
            yield f"hash of {name}", ", ".join(hashed) or "nothing"


def _rxnfc(interface: str, command: int, flow: int = 0) -> tuple[int, ...] | None:
    asked = ctypes.create_string_buffer(_RXNFC.pack(command, flow, 0, 0), _RXNFC.size)
    request = struct.pack("16sP", interface.encode(), ctypes.addressof(asked))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            fcntl.ioctl(sock, _SIOCETHTOOL, request.ljust(40, b"\0"))
        except OSError:
            return None
    return _RXNFC.unpack(asked.raw)


def _module(interface: str) -> dict[str, str]:
    """Returns the parameters of the driver's module by name; those that cannot be read are not."""
    found = {}
    try:
        paths = sorted(
            (_SYS / "class/net" / interface / "device/driver/module/parameters").iterdir()
        )
    except OSError:
        return {}
    for path in paths[:MOST_SETTINGS]:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:  # some can only be written
            continue
        found[path.name[:MOST_WIDTH]] = text.strip()[:MOST_WIDTH]
    return found


def _pci(bus: str | None) -> tuple[str, ...]:
    """Returns the lines of `lspci -vvv` of a device, if the host has the tool."""
    tool = shutil.which("lspci")
    if not bus or tool is None or not (_SYS / "bus/pci/devices" / bus).exists():
        return ()
    try:
        said = subprocess.run(
            [tool, "-vvv", "-nn", "-s", bus],
            capture_output=True,
            timeout=_LSPCI_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ()
    lines = said.stdout.decode("utf-8", "replace").expandtabs(2).splitlines()
    return tuple(line.rstrip()[:MOST_WIDTH] for line in lines[:MOST_LINES] if line.strip())
