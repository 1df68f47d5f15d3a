"""The forms of a stored run that other tools read, which `vxqual report` writes."""
# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from .root import COLOURS

if TYPE_CHECKING:
    from qualification.results.index.database import Database
    from qualification.results.matrix import Matrix
    from qualification.results.run_directory import StoredRun

metrics_option = click.option(
    "--metrics",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write metrics to this file for node_exporter's textfile collector; it ends in .prom.",
)
junit_option = click.option(
    "--junit",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write it as JUnit XML, with driver and firmware in the class names.",
)
ocptv_option = click.option(
    "--ocptv",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write it as OCP Test & Validation output, JSON lines; needs vxqual[ocptv].",
)

allure_option = click.option(
    "--allure",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write result files of Allure to DIR and, with npm's allure, its site to DIR/site.",
)


def check(metrics: Path | None) -> None:
    """Refuses a name that cannot be used, before anything is done."""
    if metrics is not None:
        from qualification.results.forms import metrics as form

        form.check(metrics)


def store_of(store: str | None, out: Path) -> Database | None:
    """Returns the store that knows earlier runs; None if there is none.

    Args:
        store: Its place, as --store names it; None for that of `out`.
        out: The directory of runs that has the run.
    """
    from qualification.results.index.database import Database, url_of

    database = Database(url_of(store or out))
    known = store is not None or database.path is None or database.path.exists()
    return database if known else None


def write_metrics(made: Matrix, path: Path, store: str | None, out: Path) -> None:
    """Writes the metrics of a run, and says so.

    Args:
        made: The run.
        path: The file.
        store: The store that knows earlier runs; None for that of `out`.
        out: The directory of runs that has the run.
    """
    from qualification.results.forms import metrics as form
    from qualification.results.forms.last_qualified import last_qualified

    database = store_of(store, out)
    form.write(form.exposition(made, last_qualified(database, made) if database else {}), path)
    click.echo(f"\nmetrics: {path}")


def write_ocptv(made: Matrix, path: Path) -> None:
    """Writes a run as OCP Test & Validation output, and says so."""
    from qualification.errors import UsageError
    from qualification.results.forms import writing

    try:
        from qualification.results.forms import ocptv
    except ImportError as error:
        raise UsageError(
            f"OCP Test & Validation output cannot be made here: {error}",
            hint="pip install 'vxqual[ocptv]'",
        ) from None
    writing.write(ocptv.document(made), path)
    click.echo(f"\nocptv: {path}")


def write_allure(made: Matrix, stored: StoredRun | None, directory: Path) -> None:
    """Writes a run as result files of Allure, makes its site, and says so.

    Without npm's allure, or where that fails, it says what is missing: the result files are there.
    """
    import os

    from qualification.errors import LabError, UsageError
    from qualification.results.forms.allure import site, writing

    try:
        count = writing.write(made, stored, directory, os.environ)
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}",
            where=str(directory),
            hint="give a directory that you can write to, or one that can be created",
        ) from None
    click.echo(f"\nallure: {directory}, {count:,} results")
    try:
        allure = site.command()
        click.echo("making the site, which takes some seconds", err=True)
        click.echo(f"site: {site.make(directory, allure)}")
    except LabError as error:
        click.secho(f"note: no site: {error}", fg=COLOURS["doubt"])


def write_junit(made: Matrix, path: Path) -> None:
    """Writes a run as JUnit XML, and says so."""
    from qualification.results.forms import junit, writing

    writing.write(junit.document(made), path)
    click.echo(f"\njunit: {path}")
