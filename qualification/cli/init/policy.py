"""`vxqual init policy`: a policy for the gate."""
# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path

import click

from ..root import examples
from .group import INIT_CODES, force_option, init

_EXAMPLES = examples("""\
vxqual init policy                   writes policy.yaml
vxqual init policy my-policy.yaml    another name""")


@init.command(name="policy", epilog=_EXAMPLES + INIT_CODES)
@click.argument(
    "file", metavar="[FILE]", type=click.Path(path_type=Path), default=Path("policy.yaml")
)
@force_option
def init_policy(file: Path, *, force: bool) -> None:
    """Write a policy for `vxqual gate`.

    It says what must hold of a NIC before it goes into production.
    """
    from qualification.shipped import report_file

    from .writing import write_new

    write_new(file, report_file("policy.example.yaml").read_bytes(), force=force)
    click.echo(f"written: {file}\nedit it, then: vxqual gate out --policy {file}")
