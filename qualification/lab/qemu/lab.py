"""A QEMU lab as a whole: guests booted side by side, their NICs cabled, and all of it taken away.

    with lab.start(load("topologies/qemu.yaml"), say=print) as running:
        qualify(running.topology)

Needs root for the record of labs alone; see `image` for what guests are made of.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from qualification.errors import LabError, UsageError
from qualification.lab.hosts import make_user_key, run
from qualification.lab.qemu.image.initrd import initrd
from qualification.lab.qemu.image.prepare import Image, prepare
from qualification.lab.records import Record, close_record, note_process, open_record
from qualification.progress import Progress
from qualification.topology import HostSpec, QemuLab, Ssh, Topology

from .accelerator import choose
from .guest import Guest, GuestPlan
from .recording import WireTap
from .wiring import MANAGEMENT, cables, models, wires


class RunningQemuLab:
    """A lab whose guests are up; `start` makes it.

    Attributes:
        topology: The hosts as any other hosts: with an `ssh` section and without a lab.
        missing: Sentences on what this machine cannot do; KVM, for one.
        record: Where the lab's things are.
        pids: The QEMU process of each guest, by host.
        taps: Where each NIC's wire can be recorded, by `host.nic`.
        wires: The same as plain values: QEMU's id of the back end, and its control socket.
        recordings: The capture file of each NIC's wire, by `host.nic`, where all is recorded.
    """

    def __init__(
        self,
        topology: Topology,
        missing: tuple[str, ...],
        record: Record,
        guests: Mapping[str, Guest],
        undo: contextlib.ExitStack,
    ) -> None:
        self.topology, self.missing, self.record = topology, missing, record
        self.pids = {name: guest.pid for name, guest in guests.items()}
        self.taps = {
            wire.nic: WireTap(wire.netdev, str(guest.plan.control))
            for guest in guests.values()
            for wire in guest.plan.wires
        }
        self.wires = {nic: (tap.netdev, tap.control) for nic, tap in self.taps.items()}
        self.recordings: dict[str, Path] = {}
        self._undo = undo

    def record_wires(self, directory: Path) -> None:
        """Records every NIC's wire from now on until the lab is stopped, one file for each NIC.

        Args:
            directory: Where the files go; made if it is not there. A plan of a thousand cells
                fills gigabytes: record single cells with `taps` where that is too much.

        Raises:
            LabError: A guest has ended.
        """
        directory.mkdir(parents=True, exist_ok=True)
        for nic, tap in self.taps.items():
            if nic not in self.recordings:
                file = directory / f"{nic}.pcap"
                tap.begin(file)
                self.recordings[nic] = file

    def stop(self) -> None:
        """Takes everything away but recordings. Harmless twice."""
        self._undo.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def start(
    topology: Topology,
    *,
    say: Progress = lambda _: None,
    persistent_for: Path | None = None,
    recordings: Path | None = None,
) -> RunningQemuLab:
    """Boots the lab that a topology asks for, and make first what it boots from.

    The guests end with the thread that calls this, so it must not end before the lab is stopped.

    Args:
        topology: One with a QEMU lab in it.
        say: Takes lines on what is being done.
        persistent_for: The topology's file, if the lab is to be found by it.
        recordings: Where every NIC's wire is recorded; None for not at all.

    Raises:
        UsageError: The topology asks for something that the lab cannot be.
        LabError: This machine lacks something, or a guest does not boot.
    """
    lab, chosen = check(topology)
    image = prepare(lab, set(chosen.values()), say)
    missing: list[str] = []
    accelerator = choose(lab.accel, image.qemu, image.kernel.image, missing.append)
    for sentence in missing:
        say(sentence)
    with contextlib.ExitStack() as undo:
        record = open_record(str(persistent_for.resolve()) if persistent_for else None)
        undo.callback(close_record, record)
        user_key = make_user_key(record)
        known_hosts = record.directory / "known_hosts"
        guests: dict[str, Guest] = {}
        wired = wires(topology, lab)
        with cables(wire for ends in wired.values() for wire in ends) as sockets:
            for name, ends in wired.items():
                plan = GuestPlan(name, record.directory, tuple(ends), lab.memory, lab.cpus)
                _write_initrd(plan, image, user_key)
                guests[name] = Guest(plan, image, accelerator, sockets)
                undo.callback(guests[name].stop)
                note_process(record, guests[name].pid)
                nics = ", ".join(wire.model for wire in ends)
                say(f"host {name}: a virtual machine of {lab.memory} MiB with {nics}")
        _boot(guests)
        for name, guest in guests.items():
            _trust(known_hosts, record.directory / f"{name}.key.pub", guest.port)
        kernel = f"Linux {image.kernel.release}".rstrip()
        say(f"{len(guests)} guests are up: {kernel}, QEMU {image.qemu.version}")
        resolved = _resolved(topology, chosen, guests, image, user_key, known_hosts)
        running = RunningQemuLab(resolved, tuple(missing), record, guests, undo)
        if recordings or lab.record:
            running.record_wires(recordings or Path(lab.record or ""))
        running._undo = undo.pop_all()
        return running


def check(topology: Topology) -> tuple[QemuLab, dict[str, str]]:
    """Checks all that can be checked before anything is made.

    Returns:
        The lab that the topology asks for, and the model of each of its NICs by `host.nic`.

    Raises:
        UsageError: The topology asks for something that the lab cannot be.
        LabError: The lab needs root.
    """
    lab = topology.lab
    if not isinstance(lab, QemuLab):
        raise UsageError("the topology has no QEMU lab", hint="add lab: {kind: qemu, models: …}")
    for name, host in topology.hosts.items():
        for nic_name, nic in host.nics.items():
            if nic.interface == MANAGEMENT:
                raise UsageError(
                    f"{MANAGEMENT} is the interface that leads to the guest's SSH server",
                    where=f"hosts.{name}.nics.{nic_name}.interface",
                    hint="call it something else",
                )
    chosen = models(topology, lab)
    wires(topology, lab)
    if os.geteuid() != 0:
        raise LabError("labs are recorded in /run, which is root's", hint="run as root")
    return lab, chosen


def _write_initrd(plan: GuestPlan, image: Image, user_key: Path) -> None:
    key = plan.directory / f"{plan.name}.key"
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", plan.name, "-f", str(key))
    plan.initrd.write_bytes(
        initrd(
            image.kernel.modules,
            hostname=plan.name,
            interfaces=plan.interfaces,
            host_key=key,
            authorized_keys=user_key.with_suffix(".pub"),
        )
    )


def _boot(guests: Mapping[str, Guest]) -> None:
    """Waits for all guests; raises for the first in the topology's order that does not boot."""
    with ThreadPoolExecutor(len(guests)) as pool:
        for waiting in [pool.submit(guest.await_ssh) for guest in guests.values()]:
            waiting.result()


def _trust(known_hosts: Path, public_key: Path, port: int) -> None:
    kind, key, *_ = public_key.read_text().split()
    with known_hosts.open("a") as file:
        file.write(f"[127.0.0.1]:{port} {kind} {key}\n")


def _resolved(
    topology: Topology,
    chosen: Mapping[str, str],
    guests: Mapping[str, Guest],
    image: Image,
    user_key: Path,
    known_hosts: Path,
) -> Topology:
    """Writes the topology that a run gets to see."""
    hosts: dict[str, HostSpec] = {}
    for name, host in topology.hosts.items():
        ssh = Ssh(
            address="127.0.0.1",
            port=guests[name].port,
            user="root",
            key=str(user_key),
            known_hosts=str(known_hosts),
            config="none",  # what a user's own says of all hosts is not about the lab's
        )
        nics = {
            nic_name: nic.model_copy(
                update={
                    "firmware": nic.firmware
                    or f"{chosen[f'{name}.{nic_name}']} QEMU {image.qemu.version}"
                }
            )
            for nic_name, nic in host.nics.items()
        }
        hosts[name] = host.model_copy(update={"ssh": ssh, "nics": nics})
    return topology.model_copy(update={"hosts": hosts, "lab": None})
