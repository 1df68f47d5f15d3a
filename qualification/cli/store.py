"""Commands of the store: runs, import and history."""
# ruff: noqa: PLC0415

from __future__ import annotations

import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qualification.errors import EXIT_QUALIFIED, EXIT_USAGE

from .root import codes, examples, main, store_option

if TYPE_CHECKING:
    from qualification.results.index.database import Database

_OUTCOMES = (
    "QUALIFIED",
    "NOT QUALIFIED",
    "INTERRUPTED",
    "NO CELL",
    "NOT JUDGED",
    "PARTIAL",
    "NOT EXERCISED",
)
_READ_CODES = {"c4": "there is no store, or an option cannot be used", "c10": "the store fails"}
_RUNS_CODES = codes(c0="the runs are listed, be there any or none", **_READ_CODES)
_HISTORY_CODES = codes(c0="the history is printed", **_READ_CODES)
_IMPORT_CODES = codes(
    c0="every run is in the store",
    c4="a directory has no run, or one that is damaged or of another schema; others are there",
    c10="the store fails",
)
_RUNS_EXAMPLES = examples("""\
vxqual runs                                        the latest 20 runs of out
vxqual runs --driver i40e --firmware '8.*'         by NIC
vxqual runs --outcome 'NOT QUALIFIED' --since 7d   by result and time
vxqual runs --limit 0 --json                       all, for programs""")
_IMPORT_EXAMPLES = examples("""\
vxqual import out                     all runs of a directory that --out named
vxqual import before after            the runs of two directories""")
_HISTORY_EXAMPLES = examples("""\
vxqual history                every NIC model
vxqual history i40e           those of one driver
vxqual history 8086:1572      those of one PCI id""")
_AGE = re.compile(r"(\d+)([hdw])")
_HOURS = {"h": 1, "d": 24, "w": 7 * 24}


class _Since(click.ParamType[str]):
    """A time: a day or a moment (ISO 8601), or an age such as 7d."""

    name = "since"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        age = _AGE.fullmatch(value)
        try:
            if age:
                hours = int(age[1]) * _HOURS[age[2]]
                at = datetime.now(UTC) - timedelta(hours=hours)
            else:
                at = datetime.fromisoformat(value).astimezone(UTC)
        except (ValueError, OverflowError):
            self.fail(
                f"{value!r} is no time; write 2026-11-29, 2026-11-29T05:33 or an age: 12h, 7d, 4w.",
                param,
                ctx,
            )
        return at.isoformat(timespec="seconds")


@main.command(epilog=_RUNS_EXAMPLES + _RUNS_CODES)
@store_option
@click.option("--driver", default="", metavar="NAME", help="With a DUT of this driver.")
@click.option("--firmware", default="", metavar="VERSION", help="With a DUT of this firmware.")
@click.option("--serial", default="", metavar="NUMBER", help="With the DUT of this serial number.")
@click.option("--pair", default="", metavar="NAME", help="With a pair of this name.")
@click.option("--topology", default="", metavar="FILE", help="Of this topology, as it was named.")
@click.option("--outcome", type=click.Choice(_OUTCOMES), help="That ended like this.")
@click.option("--since", type=_Since(), metavar="TIME", help="That began since: a day, or 7d.")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="How many to list, the latest ones; 0 for all.",
)
@click.option("--json", "as_json", is_flag=True, help="Print them as JSON, with all that is known.")
def runs(store: str | None, as_json: bool, **wanted: Any) -> None:
    """List the runs of the store, the latest first.

    In a driver, firmware, serial number, pair or topology, * stands for any characters.
    """
    from dataclasses import asdict

    from qualification.results.index import listing, queries

    database = _open(store)
    given = {name: value for name, value in wanted.items() if value is not None}
    found = queries.runs(database, queries.Filter(**given))
    if as_json:
        import json

        click.echo(json.dumps([asdict(run) for run in found], indent=1))
        return
    for line in listing.table(found) if found else ("no run of the store is like that",):
        click.echo(line)
    _missing(database, queries.ids(database))


def _missing(database: Database, known: frozenset[str]) -> None:
    """Says which runs beside the store are not in it."""
    from qualification.results.directories import has_run, run_names

    if database.path is None:
        return
    out = database.path.parent
    missing = [name for name in run_names(out) if name not in known and has_run(out / name)]
    if missing:
        which = f"{len(missing):,} runs of {out} are" if len(missing) > 1 else f"{missing[0]} is"
        click.echo(f"\nnote: {which} not in the store: killed, going on, or the store failed")
        click.echo(f"  next: vxqual import {out}{database.option}")


@main.command(name="import", epilog=_IMPORT_EXAMPLES + _IMPORT_CODES)
@click.argument(
    "places", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="DIR..."
)
@store_option
def import_(places: tuple[Path, ...], store: str | None) -> None:
    """Put runs into the store, from their directories; those that are there already stay.

    Each DIR is the directory of a run, or has such below it, as that which --out named. It may come
    from another machine, and be imported again at any time.
    """
    from qualification.results.importing import import_runs

    done = import_runs(_open(store), places, lambda line: click.echo(line, err=True))
    parts = [f"{len(some):,} {what}" for what, some in done.ids.items() if some]
    parts += [f"{len(done.refused):,} unusable"] if done.refused else []
    click.echo(f"runs: {', '.join(parts) or 'none'}")
    for path in done.going_on:
        click.echo(f"note: {path}: its run goes on, and is put into the store at its end")
    for error in done.refused.values():
        click.echo(f"vxqual: {error}", err=True)
    sys.exit(EXIT_USAGE if done.refused else EXIT_QUALIFIED)


@main.command(epilog=_HISTORY_EXAMPLES + _HISTORY_CODES)
@click.argument("model", metavar="[MODEL]", default="")
@store_option
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def history(model: str, store: str | None, as_json: bool) -> None:
    """Print which firmware of each NIC model failed what, and since when.

    MODEL is a driver, a PCI id such as 8086:1572, or the serial number of a NIC; * stands for any
    characters. By default every model is told of.
    """
    from dataclasses import asdict

    from qualification.results.index import listing
    from qualification.results.index.history import history as of_model

    found = of_model(_open(store), model)
    if as_json:
        import json

        click.echo(json.dumps([asdict(one) for one in found], indent=1))
        return
    for line in listing.models(found) if found else ("no run of the store has such a NIC",):
        click.echo(line)


def _open(store: str | None) -> Database:
    from qualification.results.index.database import Database, url_of

    return Database(url_of(store or "out"))
