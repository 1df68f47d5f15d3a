"""Commands for what people look at: page, site, and bundle, which a vendor is handed."""
# ruff: noqa: PLC0415

from __future__ import annotations

from pathlib import Path

import click

from .root import codes, examples, main, store_option

_PAGE_EXAMPLES = examples("""\
vxqual page                                    the latest run in out
vxqual page out/20261129-053315-482913         another one
vxqual page out --out matrix.html              to another file""")
_PAGE_CODES = codes(
    c0="the page is written",
    c4="there is no such run, it is damaged or of another schema, or the file cannot be written",
)


@main.command(epilog=_PAGE_EXAMPLES + _PAGE_CODES)
@click.argument("run", metavar="[RUN]", default="out")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the page to this file; by default, matrix.html in the directory of the run.",
)
@store_option
@click.option("--open", "opened", is_flag=True, help="Open the page in a browser.")
def page(run: str, out: Path | None, store: str | None, opened: bool) -> None:
    """Write the page of a stored run again: its matrix and all evidence in one HTML file.

    RUN is the directory of a run, the directory of runs, of which the latest one is meant, or the
    id of a run in out or in the store. A run that goes on is shown as far as it came. The page
    opens from disk, without a network, and loads nothing.
    """
    from datetime import datetime

    from qualification.results.page import html, stored
    from qualification.results.page.address import PAGE
    from qualification.results.run_argument import resolve
    from qualification.run.output.live_page import show

    directory = resolve(run, store=store)
    made = stored.page_of(
        directory, datetime.now().astimezone(), lambda text: click.echo(text, err=True)
    )
    path = out or directory / PAGE
    html.write(made, path)
    click.echo(f"page: {path}")
    if opened and not show(path):
        click.echo("there is no browser to open it in: open it on another machine, or set BROWSER")


_SITE_EXAMPLES = examples("""\
vxqual site out site              all runs in out, as pages in site; again: only what is new
vxqual site lab.sqlite site       those of a store""")
_SITE_CODES = codes(
    c0="the site is written",
    c4="there is no such store, or the site cannot be written",
    c10="the database fails",
)


@main.command(epilog=_SITE_EXAMPLES + _SITE_CODES)
@click.argument("store", metavar="STORE")
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
def site(store: str, directory: Path) -> None:
    """Write the lab's site: the newest result of every NIC, its history, and pages of all runs.

    STORE is a directory of runs, such as --out of `vxqual run` names, an SQLite file, or the URL of
    a database. DIR is served by any web server, or opened from disk. Each driver, NIC model (PCI
    id), run, certificate and bundle has a page. A second call reads only what is new.
    """
    from qualification.errors import UsageError
    from qualification.results.site.write import write

    try:
        done = write(store, directory, lambda text: click.echo(text, err=True))
    except OSError as error:
        raise UsageError(
            f"the site cannot be written: {error.strerror}",
            where=str(error.filename or directory),
            hint="give a directory that you can write to",
        ) from None
    unread = f", {done.unread} cannot be read" if done.unread else ""
    click.echo(f"{done.runs} runs, {done.new} of them new{unread}; {done.pages} pages written")
    click.echo(f"site: {directory / 'index.html'}")


_BUNDLE_EXAMPLES = examples("""\
vxqual bundle out                      what fails in the latest run, as a directory and a zip
vxqual bundle out x710                 of the pair x710 alone
vxqual bundle out x710/all-on/outer4-csum/inner4/tcp --out report""")
_BUNDLE_CODES = codes(
    c0="the bundle is written",
    c4="no such run, no cell of it fails, cells of several pairs, or it cannot be written",
)


@main.command(epilog=_BUNDLE_EXAMPLES + _BUNDLE_CODES)
@click.argument("run", metavar="RUN")
@click.argument("cells", metavar="[CELL]...", nargs=-1)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write to this directory, and to DIR.zip; by default, bundle-RUN-PAIR.",
)
@click.option(
    "--no-redact",
    "plain",
    is_flag=True,
    help="Do not mask addresses, host names, MAC addresses, serial numbers and paths.",
)
@click.option(
    "--pdf", "with_pdf", is_flag=True, help="Write the report as PDF, too; needs vxqual[pdf]."
)
@store_option
def bundle(
    run: str,
    cells: tuple[str, ...],
    out: Path | None,
    store: str | None,
    *,
    plain: bool,
    with_pdf: bool,
) -> None:
    """Write what a NIC does wrong for its vendor: a report, the wrong frames, a reproducer.

    RUN is the directory of a run, the directory of runs, of which the latest one is meant, or the
    id of a run in out or in the store. CELL is the id of a failing cell, or what ids begin with,
    such as a pair; by default, the most telling cell of each fault is taken.
    """
    from qualification.results import handouts
    from qualification.results.bundle.write import write
    from qualification.results.run_argument import resolve

    directory = resolve(run, store=store)
    click.echo("collecting what the run has stored", err=True)
    place, archive = write(directory, cells, out, redact=not plain, with_pdf=with_pdf)
    for path in sorted(place.iterdir()):
        click.echo(f"  {path.name}")
    click.echo(f"bundle: {place}, {archive}")
    warning = handouts.record(handouts.BUNDLE, place, directory, store)
    if warning:
        click.echo(f"warning: {warning}", err=True)
