"""What a QEMU lab boots from: an emulator, a kernel and a root file system, each made once."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from qualification.errors import UsageError
from qualification.progress import Progress
from qualification.topology import QemuLab

from . import emulator, kernel, packages, root
from .emulator import Qemu
from .kernel import Kernel


@dataclass(frozen=True)
class Image:
    """All that guests are started from.

    Attributes:
        qemu: The emulator.
        kernel: Their kernel.
        root: Their root file system, shared and read-only.
    """

    qemu: Qemu
    kernel: Kernel
    root: Path

    def sentences(self) -> list[str]:
        """Says what it consists of, and where that is."""
        release = self.kernel.release or "unknown release"
        return [
            f"QEMU {self.qemu.version}: {self.qemu.program}",
            f"kernel {release}: {self.kernel.image}",
            f"root file system: {self.root}",
        ]


def prepare(lab: QemuLab, models: Collection[str], say: Progress = lambda _: None) -> Image:
    """Gets ready what a lab boots from; a second call finds all of it and does nothing.

    Args:
        lab: What the topology says of it.
        models: The models of its NICs.
        say: Told what takes time.

    Raises:
        UsageError: Modules are named without their kernel.
        LabError: Something cannot be found, downloaded or made.
    """
    if lab.modules and not lab.kernel:
        raise UsageError(
            "modules are named without the kernel that they belong to",
            where="lab.modules",
            hint="add kernel: /path/to/bzImage",
        )
    suite = lab.suite or packages.codename()
    qemu = emulator.find(lab.qemu, models, say)
    if lab.kernel:
        modules = Path(lab.modules).expanduser() if lab.modules else None
        guests = kernel.own(Path(lab.kernel).expanduser(), modules, say)
    else:
        guests = kernel.debian(lab.kernel_suite or suite, say)
    return Image(qemu, guests, root.debian(suite, say))
