"""`vxqual init lab`: the example topologies, of which one needs no hardware."""
# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path

import click

from ..root import examples
from .group import INIT_CODES, force_option, init

_EXAMPLES = examples("""\
vxqual init lab             writes them to this directory
vxqual init lab examples    to another one, which is made""")


@init.command(name="lab", epilog=_EXAMPLES + INIT_CODES)
@click.argument("directory", metavar="[DIRECTORY]", type=click.Path(path_type=Path), required=False)
@force_option
def init_lab(directory: Path | None, *, force: bool) -> None:
    """Write the examples of topologies.

    \b
      loopback.yaml   two hosts inside this machine, with soft NICs; needs root
      incident.yaml   a healthy NIC and a faulty one, as in the incident that led to vxqual
      qemu.yaml       two virtual machines with real drivers
      example.yaml    two real hosts, with every key explained
      firmwares.md    the faults that a soft NIC can have
      schema.json     the JSON schema, by which editors check and complete a topology
    """  # noqa: D301  (\b is a backspace, by which click keeps the lines)
    from qualification.shipped import topology_files

    from .writing import write_all

    directory = directory or Path()
    files = {directory / name: file.read_bytes() for name, file in topology_files().items()}
    write_all(files, force=force)
    click.echo(f"written: {', '.join(map(str, files))}")
    click.echo(f"next, as root: vxqual check {directory / 'loopback.yaml'}")
    click.echo(f"         then: vxqual run {directory / 'loopback.yaml'}")
