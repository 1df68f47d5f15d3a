"""`vxqual init nightly`: a job that qualifies a lab every night, for a CI or systemd."""
# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path

import click

from ..root import examples
from .group import INIT_CODES, init

SCRIPT = "nightly.sh"
"""What every job runs."""
FILES = {
    "gitlab": {"gitlab-ci.yml": ".gitlab-ci.yml"},
    "github": {"github-actions.yml": ".github/workflows/vxqual-nightly.yml"},
    "jenkins": {"Jenkinsfile": "Jenkinsfile"},
    "systemd": {
        "vxqual-nightly.service": "vxqual-nightly.service",
        "vxqual-nightly.timer": "vxqual-nightly.timer",
    },
}
"""For each kind of job its files: the name in `reports/nightly/`, and where it is written."""
_EXAMPLES = examples("""\
vxqual init nightly --for github           .github/workflows/vxqual-nightly.yml and nightly.sh
vxqual init nightly --for systemd units    a service, its timer and nightly.sh, in units""")


@init.command(name="nightly", epilog=_EXAMPLES + INIT_CODES)
@click.argument("directory", metavar="[DIR]", type=click.Path(path_type=Path), required=False)
@click.option(
    "--for", "kind", type=click.Choice(tuple(FILES)), required=True, help="What is to run the job."
)
def init_nightly(directory: Path | None, kind: str) -> None:
    """Write a job that qualifies a lab every night; a file that exists is never overwritten.

    DIR is the top of the repository of the job; by default, this directory.

    Each kind has a file of its own and nightly.sh, which runs, compares, asks the gate, and tells
    people. docs/nightly.md explains it.
    """
    from qualification.shipped import report_file

    from .writing import make_folder, write_new

    named = {**FILES[kind], SCRIPT: SCRIPT}
    contents = {
        (directory or Path()) / to: report_file(f"nightly/{name}").read_bytes()
        for name, to in named.items()
    }
    there = {file for file, content in contents.items() if _is(file, content)}
    # One that stands in the way is refused before another one is written.
    for file in sorted(contents.keys() - there, key=lambda file: not file.exists()):
        make_folder(file.parent)
        write_new(file, contents[file], hint="remove it, or write the job to another directory")
    for file in contents:
        click.echo(f"{'there already' if file in there else 'written'}: {file}")
    click.echo("edit them: each says at its top what it needs")


def _is(file: Path, content: bytes) -> bool:
    return file.is_file() and file.read_bytes() == content
