"""Commands on a lab that stands: up, down, status."""
# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qualification.errors import EXIT_LAB

from .root import USAGE, codes, main

if TYPE_CHECKING:
    from qualification.lab.persistent import PersistentLab

_UP_CODES = codes(c0="the lab stands", c4=USAGE, c10="this machine cannot build it")
_DOWN_CODES = codes(c0="there is no lab of that topology, or no longer")
_STATUS_CODES = codes(c0="the lab stands", c10="it does not")


@main.group()
def lab() -> None:
    """Keep a loopback lab standing, to play with."""


def _lab_command(name: str, epilog: str) -> Callable[[Callable[[Path], None]], click.Command]:
    argument = click.argument("topology", type=click.Path(path_type=Path), metavar="TOPOLOGY")
    return lambda function: lab.command(name, epilog=epilog)(argument(function))


@_lab_command("up", _UP_CODES)
def lab_up(topology: Path) -> None:
    """Build a topology's lab and leave it standing."""
    from qualification.lab import persistent
    from qualification.topology import load

    built = persistent.up(load(topology), topology)
    click.echo(f"the lab of {topology} {'stands already' if built.stood else 'stands'}")
    _show(built)
    click.echo(f"\nqualify it:  vxqual run --topology {built.topology}")
    click.echo(f"take it away:  vxqual lab down {topology}")


@_lab_command("down", _DOWN_CODES)
def lab_down(topology: Path) -> None:
    """Take a persistent lab away; harmless where there is none."""
    from qualification.lab import persistent

    gone = persistent.down(topology)
    click.echo(f"the lab of {topology} {'is gone' if gone else 'did not stand'}")


@_lab_command("status", _STATUS_CODES)
def lab_status(topology: Path) -> None:
    """Show a persistent lab: hosts, how to log in, NICs and what they have counted."""
    from qualification.lab import persistent

    found = persistent.status(topology)
    if found is None:
        click.echo(f"the lab of {topology} does not stand; vxqual lab up {topology}")
        sys.exit(EXIT_LAB)
    click.echo(f"the lab of {topology} stands")
    _show(found)


def _show(found: PersistentLab) -> None:
    for host in found.hosts:
        click.echo(f"\nhost {host.name}: namespace {host.namespace}\n  {host.ssh}")
    for nic in found.nics:
        counted = ", ".join(f"{count:,} {name}" for name, count in nic.counters.items() if count)
        alive = f"pid {nic.pid}" if nic.pid else "not running"
        click.echo(f"\nNIC {nic.name}: {nic.interface}, firmware {nic.firmware}, {alive}")
        click.echo(f"  {counted or 'nothing counted yet'}")
    for sentence in found.missing:
        click.echo(f"\nnote: {sentence}")
