"""Says what a host is: a machine, or a guest, under which hypervisor and on which virtual hardware.

In production these decide about a virtual NIC as driver and firmware do about a real one.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

_DMI = Path("/sys/class/dmi/id")
_CPUINFO = Path("/proc/cpuinfo")
_XEN = Path("/sys/hypervisor/type")

_LONGEST = 10.0

_VENDORS = {
    "QEMU": "qemu",
    "VMware": "vmware",
    "Microsoft": "microsoft",
    "innotek": "oracle",
    "Oracle": "oracle",
    "Xen": "xen",
    "Amazon": "amazon",
    "Google": "google",
    "Parallels": "parallels",
}
"""The word of systemd-detect-virt(1) for a guest, by the beginning of its DMI vendor."""


def machine() -> str:
    """Returns vendor and model as DMI has them, such as "QEMU Standard PC (Q35 + ICH9, 2009)"."""
    return " ".join(filter(None, (_dmi("sys_vendor"), _dmi("product_name"))))


def hardware_version() -> str:
    """Returns the version of the machine as DMI has it, such as "pc-q35-10.0"."""
    return _dmi("product_version")


def hypervisor() -> str:
    """Returns the hypervisor that this host is a guest of, as systemd-detect-virt(1) names it.

    Where that is not installed, the name follows from the DMI vendor. Empty on bare metal.
    """
    tool = shutil.which("systemd-detect-virt")
    if tool:
        try:
            said = subprocess.run([tool, "--vm"], capture_output=True, timeout=10, check=False)
        except (OSError, subprocess.SubprocessError):
            pass
        else:
            word = said.stdout.decode("utf-8", "replace").strip()
            return "" if word == "none" else word
    if not _is_guest():
        return ""
    vendor = _dmi("sys_vendor")
    known = (word for start, word in _VENDORS.items() if vendor.startswith(start))
    return next(known, _text(_XEN) or "unknown")


def loop_seconds() -> float:
    """Returns how long 20,000 turns of a loop take: how fast the CPU is, which may be emulated."""
    best = _LONGEST
    for _ in range(3):  # the shortest is the one in which nothing else ran
        start = time.perf_counter()
        total = 0
        for turn in range(20_000):
            total += turn * turn % 7
        best = min(best, time.perf_counter() - start)
    return best


def _is_guest() -> bool:
    """Returns whether the CPU says so (CPUID leaf 1, ECX bit 31; a flag of /proc/cpuinfo)."""
    for line in _text(_CPUINFO).splitlines():
        if line.startswith("flags"):
            return "hypervisor" in line.split()
    return bool(_text(_XEN))


def _dmi(name: str) -> str:
    value = _text(_DMI / name)
    return "" if value in ("None", "Not Specified", "To Be Filled By O.E.M.") else value


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def boot_id() -> str:
    """Returns what is the same until the next boot; empty if the kernel does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
