"""`vxqual init expectations`: a list of known failures."""
# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path

import click

from ..root import examples
from .group import INIT_CODES, force_option, init

_EXAMPLES = examples("""\
vxqual init expectations                      writes expectations.yaml
vxqual init expectations known-x710.yaml      another name""")


@init.command(name="expectations", epilog=_EXAMPLES + INIT_CODES)
@click.argument(
    "file", metavar="[FILE]", type=click.Path(path_type=Path), default=Path("expectations.yaml")
)
@force_option
def init_expectations(file: Path, *, force: bool) -> None:
    """Write a list of known failures.

    A run with --expectations ends their cells as KNOWN. Each entry has a reason, a link and a last
    day, and says which cells it is about.
    """
    from qualification.shipped import report_file

    from .writing import write_new

    write_new(file, report_file("expectations.example.yaml").read_bytes(), force=force)
    click.echo(f"written: {file}\nedit it, then: vxqual run my-lab.yaml --expectations {file}")
