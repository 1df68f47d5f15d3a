"""KVM or emulation: found out by starting a kernel, for /dev/kvm may be there and not work.

Seen: a nested /dev/kvm that opens, makes virtual machines and runs 16-bit code, and whose CPU
never gets anywhere in protected mode. So only the first line of a real kernel counts.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from pathlib import Path
from typing import Literal

from qualification.errors import LabError
from qualification.lab.qemu.image.emulator import Qemu
from qualification.progress import Progress

from .image import store

Accelerator = Literal["kvm", "tcg"]

_SECONDS = 3.0
"""What a kernel under KVM may take to its first line; it takes a tenth of that."""

_TCG_CACHE_MIB = 32
"""Host memory for translated code. QEMU's own limit of 1 GiB is reached on long runs."""


def choose(wanted: str, qemu: Qemu, kernel: Path, say: Progress) -> Accelerator:
    """Chooses how guests run.

    Args:
        wanted: "auto", "kvm" or "tcg".
        qemu: The emulator.
        kernel: The guests' kernel.
        say: Told what was chosen.

    Raises:
        LabError: KVM is asked for and does not work.
    """
    if wanted == "tcg":
        return "tcg"
    works = _works(qemu, kernel)
    if wanted == "kvm" and not works:
        raise LabError(
            "KVM does not work on this machine: a kernel does not start with it",
            where="lab.accel",
            hint="write accel: auto, which emulates the CPU instead",
        )
    say("guests run with KVM" if works else "guests are emulated: KVM does not work here")
    return "kvm" if works else "tcg"


def options(accelerator: Accelerator) -> list[str]:
    """Returns QEMU's options for an accelerator and the CPU that goes with it."""
    if accelerator == "kvm":
        return ["-accel", "kvm", "-cpu", "host"]
    return ["-accel", f"tcg,thread=multi,tb-size={_TCG_CACHE_MIB}", "-cpu", "max"]


def _works(qemu: Qemu, kernel: Path) -> bool:
    """Tries KVM, once after each start of the machine."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    noted = store.directory() / f"kvm-{boot}"
    if noted.exists():
        return noted.read_text() == "works"
    works = _starts(qemu, kernel)
    for old in store.directory().glob("kvm-*"):
        old.unlink(missing_ok=True)
    noted.write_text("works" if works else "does not work")
    return works


def _starts(qemu: Qemu, kernel: Path) -> bool:
    command = [
        *qemu.command, "-accel", "kvm", "-cpu", "host", "-machine", "q35", "-m", "128M",
        "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
        "-kernel", str(kernel), "-append", "earlyprintk=ttyS0 console=ttyS0 panic=-1",
    ]  # fmt: skip
    with subprocess.Popen(
        command,
        env=qemu.variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout
        try:
            return _says(process.stdout.fileno(), b"Linux version", time.monotonic() + _SECONDS)
        finally:
            process.kill()


def _says(descriptor: int, words: bytes, until: float) -> bool:
    """Returns whether words come before a time."""
    said = b""
    while words not in said:
        left = until - time.monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return False
        piece = os.read(descriptor, 4096)
        if not piece:
            return False
        said += piece
    return True
