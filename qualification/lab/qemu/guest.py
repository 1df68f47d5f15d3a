"""One virtual machine: its command line, its process, and waiting until it can be logged into."""

from __future__ import annotations

import re
import select
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from qualification.errors import HostError, LabError
from qualification.lab.qemu.image.prepare import Image

from .accelerator import Accelerator, options
from .qmp import connected
from .wiring import MANAGEMENT, Wire, mac_of

_SILENCE = 60.0
"""Seconds without a new line on the console after which a guest that boots is given up."""
_BOOT_SECONDS = 300.0
_STEP = 0.05

_APPEND = "console=ttyS0 quiet panic=-1 mitigations=off net.ifnames=0"


@dataclass(frozen=True)
class GuestPlan:
    """What a guest is made of.

    Attributes:
        name: The host's name in the topology.
        directory: Where its sockets and its console's log are.
        wires: Its NICs.
        memory: Its memory, MiB.
        cpus: Its CPUs.
    """

    name: str
    directory: Path
    wires: tuple[Wire, ...]
    memory: int
    cpus: int

    @property
    def control(self) -> Path:
        """The socket that QEMU is controlled by."""
        return self.directory / f"{self.name}.qmp"

    @property
    def console(self) -> Path:
        """The log of its serial console."""
        return self.directory / f"{self.name}.console"

    @property
    def initrd(self) -> Path:
        """Its initramfs."""
        return self.directory / f"{self.name}.initrd"

    @property
    def interfaces(self) -> dict[str, str]:
        """What its interfaces are called, by MAC address."""
        named = {wire.mac: wire.interface for wire in self.wires}
        return {mac_of(f"{self.name} {MANAGEMENT}"): MANAGEMENT, **named}


def command(
    plan: GuestPlan, image: Image, accelerator: Accelerator, descriptors: Mapping[str, int]
) -> list[str]:
    """Returns the command line that runs a guest.

    Its disks are shared and read-only. Its only way out is the forwarded port to its SSH server,
    on a port of 127.0.0.1 that the kernel chooses.

    Args:
        plan: What it is made of.
        image: What it boots from.
        accelerator: How its CPU is run.
        descriptors: That of the socket at the end of each of its wires, by `host.nic`.
    """
    management = mac_of(f"{plan.name} {MANAGEMENT}")
    disks = [image.root, image.kernel.disk] if image.kernel.disk else [image.root]
    return [
        "setpriv", "--pdeathsig", "KILL", *image.qemu.command,
        "-name", plan.name, "-nodefaults", "-no-user-config", "-no-reboot",
        "-machine", "q35,usb=off,vmport=off", *options(accelerator),
        "-smp", str(plan.cpus), "-m", f"{plan.memory}M",
        "-display", "none", "-serial", f"file:{plan.console}",
        "-qmp", f"unix:{plan.control},server=on,wait=off",
        "-kernel", str(image.kernel.image), "-initrd", str(plan.initrd), "-append", _APPEND,
        *(word for number, disk in enumerate(disks) for word in _disk(number, disk)),
        "-netdev", "user,id=management,ipv6=off,restrict=on,hostfwd=tcp:127.0.0.1:0-:22",
        "-device", f"virtio-net-pci,netdev=management,mac={management},romfile=",
        *(word for wire in plan.wires for word in wire.arguments(descriptors[wire.nic])),
    ]  # fmt: skip


def _disk(number: int, disk: Path) -> list[str]:
    back_end = f"if=none,id=disk{number},file={disk},format=raw,read-only=on"
    return ["-drive", back_end, "-device", f"virtio-blk-pci,drive=disk{number}"]


class Guest:
    """A guest that runs. QEMU ends with the thread that made it, should that be killed.

    Args:
        plan: What it is made of.
        image: What it boots from.
        accelerator: How its CPU is run.
        cables: The socket at the end of each wire, by `host.nic`; it inherits those of its own.

    Raises:
        LabError: QEMU does not start.
    """

    def __init__(
        self,
        plan: GuestPlan,
        image: Image,
        accelerator: Accelerator,
        cables: Mapping[str, socket.socket],
    ) -> None:
        self.plan = plan
        self.port = 0
        self._log = plan.directory / f"{plan.name}.qemu"
        descriptors = {wire.nic: cables[wire.nic].fileno() for wire in plan.wires}
        with self._log.open("wb") as log:
            try:
                self._process = subprocess.Popen(
                    command(plan, image, accelerator, descriptors),
                    pass_fds=tuple(descriptors.values()),
                    env=image.qemu.variables,
                    cwd=plan.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C at a terminal is for the suite to handle
                )
            except OSError as error:
                raise LabError(f"`{error.filename}` does not start: {error.strerror}") from error

    @property
    def pid(self) -> int:
        """QEMU's process id."""
        return self._process.pid

    def await_ssh(self) -> None:
        """Waits until the guest's SSH server answers; `port` is known from then on.

        Raises:
            HostError: QEMU ended, or the guest does not get there; carries what it said.
        """
        start = time.monotonic()
        while not self.plan.control.exists():
            self._check(start)
            time.sleep(_STEP)
        with connected(self.plan.control) as monitor:
            self.port = monitor.forwarded_port()
        while not _answers(self.port):
            self._check(start)
            time.sleep(_STEP)

    def stop(self) -> None:
        """Ends QEMU. Harmless twice."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(3.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()

    def _check(self, start: float) -> None:
        """Raises if there is no sense in waiting on."""
        if self._process.poll() is not None:
            raise HostError(
                f"its virtual machine has ended: {self._tail(self._log) or 'QEMU said nothing'}"
                f"{self._said()}",
                where=self.plan.name,
            )
        spoke = self.plan.console.stat().st_mtime if self.plan.console.exists() else 0.0
        waited = time.monotonic() - start
        if waited > _BOOT_SECONDS or (waited > _SILENCE and time.time() - spoke > _SILENCE):
            raise HostError(
                f"its virtual machine did not start sshd within {waited:.0f} s{self._said()}",
                where=self.plan.name,
                hint="a kernel of your own needs PCI, VIRTIO_PCI, VIRTIO_BLK, VIRTIO_NET, EXT4, "
                "OVERLAY_FS, TMPFS and DEVTMPFS, built in or in lab.modules",
            )

    def _said(self) -> str:
        said = self._tail(self.plan.console)
        return f"; the end of its console:\n{said}" if said else ""

    @staticmethod
    def _tail(path: Path, lines: int = 10) -> str:
        try:
            text = path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]|\r", "", text)
        said = [line for line in plain.splitlines() if line.strip()]
        # What our own scripts say comes before the kernel's many words on a panic.
        said = [line for line in said if "vxqual:" in line] or said
        return "\n".join(f"    {line}" for line in said[-lines:])


def _answers(port: int) -> bool:
    """Returns whether an SSH server answers; QEMU itself takes connections from the start."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5.0) as channel:
            ready = select.select([channel], [], [], 1.0)[0]
            return bool(ready) and channel.recv(4) == b"SSH-"
    except OSError:
        return False
