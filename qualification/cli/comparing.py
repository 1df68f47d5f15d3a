"""The command that compares stored runs: compare."""
# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from .root import COLOURS, codes, examples, main, store_option

if TYPE_CHECKING:
    from qualification.results.matrix import Matrix

_COMPARE_CODES = codes(
    c0="nothing regressed in what could be compared",
    c1="regressed: the NIC fails where it did not, beyond chance",
    c4="there is no such run or pair, or none before it, or its results are damaged",
    c10="nothing could be compared; each reason is printed",
)
_COMPARE_EXAMPLES = examples("""\
vxqual compare out/20261129-053315-482913 out       an earlier run and the latest one
vxqual compare out                                  the latest run and the one before it
vxqual compare before after --markdown              for a change request
vxqual compare out out --map x710=e810              one NIC with another, in one run""")


@main.command(epilog=_COMPARE_EXAMPLES + _COMPARE_CODES)
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="[NEW]", required=False)
@click.option(
    "--map",
    "maps",
    multiple=True,
    metavar="OLD=NEW",
    help="Compare this pair of OLD with that pair of NEW, and only those given; repeatable.",
)
@store_option
@click.option("--markdown", "form", flag_value="markdown", help="Print a page for people.")
@click.option("--json", "form", flag_value="json", help="Print the result as JSON.")
def compare(
    old: str, new: str | None, maps: tuple[str, ...], store: str | None, form: str | None
) -> None:
    """Compare two stored runs: what regressed, healed, or changed, by statistics.

    OLD and NEW each name a run: its directory, a directory of runs, of which the latest one is
    meant, or its id in out or in the store. A run that is given alone is compared with the last one
    before it in the store, of the same plan, that judged one of its NICs.

    Pairs are matched by name, or else by the NIC's model or driver. A cell regresses where its
    frames are worse beyond chance, not by a single wrong one; what the lab could not judge counts
    as not judged. docs/comparing.md explains each word.
    """
    from qualification.results.comparison import document, markdown, pairs, text
    from qualification.results.comparison.compare import compare as compare_runs
    from qualification.results.run_argument import load

    given = pairs.parse(maps)
    before, now = (load(old, store=store), load(new, store=store)) if new else _last(old, store)
    comparison = compare_runs(before, now, given)
    if form == "json":
        click.echo(document.dump(comparison))
    elif form == "markdown":
        click.echo("\n".join(markdown.page(comparison)))
    else:
        import shutil

        columns = shutil.get_terminal_size().columns
        for number, line in enumerate(text.lines(comparison, min(columns, 200))):
            click.secho(line.text, fg=COLOURS.get(line.tone), bold=number == 0 or None)
    sys.exit(comparison.exit_code)


def _last(run: str, store: str | None) -> tuple[Matrix, Matrix]:
    """Returns the last run before a run, and that run."""
    from qualification.results.index.database import Database, url_of
    from qualification.results.nightly.previous import previous
    from qualification.results.run_argument import load, runs_of

    made = load(run, store=store)
    return previous(Database(url_of(store or runs_of(run))), made), made
