"""Commands for labs: image, and up, down and status of a persistent one."""
# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qualification.errors import EXIT_LAB

from .root import USAGE, codes, examples, main
from .topology_argument import TopologyCommand

if TYPE_CHECKING:
    from qualification.lab.persistent import PersistentLab

_UP_CODES = codes(c0="the lab is up", c4=USAGE, c10="this machine cannot build the lab")
_IMAGE_CODES = codes(c0="the image is ready", c4=USAGE, c10="something cannot be had here")
_DOWN_CODES = codes(c0="the lab is down")
_STATUS_CODES = codes(c0="the lab is up", c10="the lab is not up")


@main.group()
def lab() -> None:
    """Keep a lab up between runs, to experiment with; make what a QEMU lab boots from."""


def _lab_command(
    name: str, says: str, epilog: str
) -> Callable[[Callable[[str], None]], click.Command]:
    shown = examples(f"vxqual lab {name} topologies/loopback.yaml     {says}") + epilog
    return lab.command(name, cls=TopologyCommand, epilog=shown)


@_lab_command("image", "makes what the machines boot from, once", _IMAGE_CODES)
def lab_image(topology: str) -> None:
    """Make what a QEMU lab boots from: QEMU, a kernel, a root file system.

    They are made once, of Debian's packages, and kept in ~/.cache/vxqual/images; a run makes what
    is missing. To have newer ones, remove that directory.
    """
    from qualification.lab import build
    from qualification.topology import load

    for sentence in build.prepare(load(topology), click.echo):
        click.echo(sentence)


@_lab_command("up", "prints how to use it, and how to log in", _UP_CODES)
def lab_up(topology: str) -> None:
    """Build the lab of a topology and leave it up."""
    from qualification.lab import persistent
    from qualification.topology import QemuLab, load

    wanted = load(topology)
    if isinstance(wanted.lab, QemuLab):
        from qualification.lab import build

        build.prepare(wanted, click.echo)
    built = persistent.up(wanted, Path(topology))
    click.echo(f"the lab of {topology} is {'already ' if built.already_up else ''}up")
    _show(built)
    click.echo(f"\nqualify it:  vxqual run {built.topology}")
    click.echo(f"take it down:  vxqual lab down {topology}")


@_lab_command("down", "leaves nothing behind", _DOWN_CODES)
def lab_down(topology: str) -> None:
    """Take a persistent lab down; does nothing if it is not up."""
    from qualification.lab import persistent

    gone = persistent.down(Path(topology))
    click.echo(f"the lab of {topology} {'is down' if gone else 'was not up'}")


@_lab_command("status", "its hosts and NICs", _STATUS_CODES)
def lab_status(topology: str) -> None:
    """Show a persistent lab: its hosts and how to log in, its NICs and their counters."""
    from qualification.lab import persistent

    found = persistent.status(Path(topology))
    if found is None:
        click.echo(f"the lab of {topology} is not up; next: vxqual lab up {topology}")
        sys.exit(EXIT_LAB)
    click.echo(f"the lab of {topology} is up")
    _show(found)


def _show(found: PersistentLab) -> None:
    for host in found.hosts:
        click.echo(f"\nhost {host.name}: {host.place}\n  {host.ssh}")
    for nic in found.nics:
        counted = ", ".join(f"{count:,} {name}" for name, count in nic.counters.items() if count)
        alive = f"pid {nic.pid}" if nic.pid else "not running"
        click.echo(f"\nNIC {nic.name}: {nic.interface}, firmware {nic.firmware}, {alive}")
        click.echo(f"  {counted or 'no frames counted yet'}")
    for sentence in found.missing:
        click.echo(f"\nnote: {sentence}")
