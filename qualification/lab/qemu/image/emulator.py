"""QEMU itself: the user's own, this machine's, or Debian's newest for this machine's release."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from qualification.errors import LabError
from qualification.progress import Progress

from . import packages, store

PROGRAM = "qemu-system-x86_64"
_PACKAGES = ("qemu-system-x86", "qemu-system-data", "seabios", "ipxe-qemu")
_DEVICES = {"virtio-net": "virtio-net-pci"}
"""QEMU's names of devices, where they differ from those of the models."""


@dataclass(frozen=True)
class Qemu:
    """A QEMU that works.

    Attributes:
        program: Its path.
        version: Such as "10.0.2".
        devices: What it can emulate, by QEMU's own names.
        environment: What it needs in its environment: where its libraries and modules are.
        data: Where its firmware is; empty for a QEMU that knows.
    """

    program: str
    version: str
    devices: frozenset[str]
    environment: tuple[tuple[str, str], ...] = ()
    data: tuple[str, ...] = ()

    @property
    def command(self) -> list[str]:
        """The program, and where its firmware is."""
        return [self.program, *(word for folder in self.data for word in ("-L", folder))]

    @property
    def variables(self) -> dict[str, str]:
        """The environment to start it in."""
        return {**os.environ, **dict(self.environment)}

    def lacks(self, models: Collection[str]) -> list[str]:
        """Lists those models of NICs that it cannot emulate."""
        return sorted(model for model in set(models) if device(model) not in self.devices)


def device(model: str) -> str:
    """Returns QEMU's name of a NIC model."""
    return _DEVICES.get(model, model)


def find(named: str | None, models: Collection[str], say: Progress) -> Qemu:
    """Finds a QEMU that has all models: one the user names, the machine's, or Debian's newest.

    Args:
        named: The path that the topology names.
        models: Models of NICs.
        say: Told before something is downloaded.

    Raises:
        LabError: There is none, or it does not start, or it lacks a model.
    """
    if named:
        return _having(models, probe(Path(named).expanduser()), "lab.qemu")
    own = shutil.which(PROGRAM)
    if own:
        qemu = probe(Path(own))
        if not qemu.lacks(models):
            return qemu
        say(f"{own}, version {qemu.version}, lacks {', '.join(qemu.lacks(models))}")
    return _having(models, debian(say), "QEMU")


def debian(say: Progress) -> Qemu:
    """Returns Debian's newest QEMU for this machine's release, from its backports.

    Raises:
        LabError: It cannot be downloaded, or does not start.
    """
    release = packages.codename()
    suite = f"{release}-backports"

    def make(into: Path) -> None:
        say(f"QEMU: downloading it from {suite}")
        with tempfile.TemporaryDirectory(dir=into, prefix="apt-") as scratch:
            archive = packages.Archive((release, suite), Path(scratch))
            (into / "packages.txt").write_text("\n".join(archive.versions(_PACKAGES, suite)) + "\n")
            say("QEMU: unpacking it")
            packages.unpack(archive.download(_PACKAGES, suite), into)
        shutil.rmtree(into / "usr/share/doc", ignore_errors=True)

    recipe = {"suite": suite, "packages": _PACKAGES, "format": 1}
    root = store.kept("qemu", recipe, make)
    libraries = [root / "usr/lib/x86_64-linux-gnu", root / "lib/x86_64-linux-gnu"]
    folders = ("usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu")
    return probe(
        root / "usr/bin" / PROGRAM,
        (
            ("LD_LIBRARY_PATH", ":".join(map(str, libraries))),
            ("QEMU_MODULE_DIR", str(libraries[0] / "qemu")),
        ),
        tuple(str(root / folder) for folder in folders),
    )


def probe(
    program: Path, environment: tuple[tuple[str, str], ...] = (), data: tuple[str, ...] = ()
) -> Qemu:
    """Asks a QEMU what it is.

    Raises:
        LabError: It does not start, or is no QEMU.
    """
    variables = {**os.environ, **dict(environment)}

    def said(*words: str) -> str:
        try:
            return subprocess.run(
                [str(program), *words],
                env=variables, capture_output=True, text=True, check=True, timeout=30,
            ).stdout  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            why = getattr(error, "stderr", None) or error
            raise LabError(
                f"does not start: {str(why).strip()}",
                where=str(program),
                hint="install the package qemu-system-x86, or name another with lab.qemu",
            ) from error

    version = re.search(r"version (\d+(?:\.\d+)*)", said("--version"))
    if version is None:
        raise LabError("is not QEMU", where=str(program))
    devices = re.findall(r'^name "([^"]+)"', said("-device", "help"), re.MULTILINE)
    return Qemu(str(program), version[1], frozenset(devices), environment, data)


def _having(models: Collection[str], qemu: Qemu, where: str) -> Qemu:
    lacking = qemu.lacks(models)
    if lacking:
        raise LabError(
            f"{qemu.program}, version {qemu.version}, has no model {', '.join(lacking)}",
            where=where,
            hint=f"take these out of lab.models; `{PROGRAM} -device help` lists what it has",
        )
    return qemu
