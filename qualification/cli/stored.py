"""Commands for stored runs: judge and report."""
# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import forms
from .root import (
    COLOURS,
    SHARE,
    codes,
    examples,
    expectations_option,
    main,
    partial_option,
    store_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qualification.judge.culprit.findings import CulpritFindings
    from qualification.judge.known.matching import ExpectationNote
    from qualification.results.matrix import Matrix
    from qualification.results.rejudge import Judged
    from qualification.results.run_directory import StoredRun

_JUDGE_CODES = codes(
    c0="qualified: every cell of the plan ran, and passed or failed as is known",
    c1="not qualified: the NIC sent wrong frames, or lost frames",
    c2="the run was interrupted",
    c4="there is no stored run, it is damaged or of another schema, or an option is invalid",
    c5="no cell was selected",
    c10="not judged: an error of the lab, a failed control, or too few frames",
    c11="partial: only a selection of the plan's cells ran; 0 with --partial-ok",
    c12="not exercised: the NIC had nothing to do where the plan counts on it",
)
_JUDGE_EXAMPLES = examples("""\
vxqual judge                                          the latest run in out again
vxqual judge out/20261129-053315-482913               another one
vxqual judge out --rate 1e-4                          with a stricter demand
vxqual judge out --expectations expectations.yaml     with other known failures""")
_REPORT_CODES = codes(
    c0="the report is printed, whatever it says",
    c4="there is no such run, or it is damaged or of another schema",
    c10="the store fails",
)
_REPORT_EXAMPLES = examples("""\
vxqual report                            the latest run in out
vxqual report 20261129-053315-482913     another one, by its id
vxqual report out --out again            and makes its files there again
vxqual report out --metrics nics.prom    and writes metrics for Prometheus
vxqual report out --junit nics.xml       and a report for Jenkins or GitLab
vxqual report out --ocptv nics.jsonl     or for the tools of the Open Compute Project
vxqual report out --allure allure        or result files of Allure, and its site
vxqual report out --summary              one screen of Markdown for a chat or a CI job""")


@main.command(epilog=_JUDGE_EXAMPLES + _JUDGE_CODES)
@click.argument("run", metavar="[RUN]", default="out")
@click.option(
    "--rate", type=SHARE, help="The corruption rate that a PASS excludes, if not the run's."
)
@click.option("--confidence", type=SHARE, help="The confidence of that, if not the run's.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write matrix.json to this directory; by default nothing is written.",
)
@store_option
@partial_option
@expectations_option
@click.option("-v", "--verbose", is_flag=True, help="Show the matrix of every pair.")
def judge(
    run: str,
    rate: float | None,
    confidence: float | None,
    out: Path | None,
    store: str | None,
    partial_ok: bool,
    expectations: str | None,
    verbose: bool,
) -> None:
    """Judge a stored run again, from its directory. No host is needed.

    RUN is the directory of a run, the directory that --out of `vxqual run` named, of which the
    latest run is meant, or the id of a run in out or in the store; by default, out.

    Controls and cells are judged by the stored evidence; cells that never ran keep their verdict.
    Expectations expire by today's date; without --expectations those of the run are used.
    """
    from dataclasses import replace
    from datetime import datetime

    from qualification.config.reading import load_as
    from qualification.judge.known.expectations import EXPECTATIONS
    from qualification.results import rejudge, run_directory
    from qualification.results.run_argument import resolve

    stored = run_directory.read(resolve(run, store=store))
    if expectations is not None:
        known = load_as(EXPECTATIONS, Path(expectations))
        stored = replace(stored, campaign=replace(stored.campaign, expectations=known))
    if partial_ok:
        stored = replace(stored, selection=replace(stored.selection, partial_ok=True))
    judged = rejudge.judge(stored, datetime.now().astimezone().date(), rate, confidence)
    written = None if out is None else rejudge.write(judged.matrix, out)
    _show(stored, judged, verbose=verbose)
    if written is not None:
        click.echo(f"\nresults: {written}")
    sys.exit(judged.exit_code)


@main.command(epilog=_REPORT_EXAMPLES + _REPORT_CODES)
@click.argument("run", metavar="[RUN]", default="out")
@store_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Make matrix.json and matrix.html again, too, in this directory; by default, nothing.",
)
@forms.metrics_option
@forms.junit_option
@forms.ocptv_option
@forms.allure_option
@click.option(
    "--summary",
    is_flag=True,
    help="Print one screen of Markdown instead: what changed since the last run, what to do.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show the matrix of every pair.")
def report(
    run: str,
    store: str | None,
    out: Path | None,
    metrics: Path | None,
    junit: Path | None,
    ocptv: Path | None,
    allure: Path | None,
    *,
    summary: bool,
    verbose: bool,
) -> None:
    """Print the report of a stored run again, as it was at its end. No host is needed.

    RUN is the directory of a run, the directory that --out of `vxqual run` named, of which the
    latest run is meant, or the id of a run in out or in the store; by default, out.

    Its demand and its day are those of the run, by which expectations expire; `vxqual judge` takes
    others. Of a run whose directory is on another machine the store has the results, and not the
    proofs of culprits.
    """
    from qualification.results import rejudge
    from qualification.results.nightly.reading import read

    forms.check(metrics)
    found = read(run, store)
    made, stored = found.results, found.stored
    if summary:
        from .nightly import summary_of

        click.echo(summary_of(found, store)[0])
    elif found.judged is None or stored is None:
        _print(made, verbose=verbose)
        click.secho(f"note: by the results alone: {found.note}", fg=COLOURS["doubt"])
    else:
        _show(stored, found.judged, verbose=verbose)
    if metrics is not None:
        forms.write_metrics(made, metrics, store, found.runs)
    if junit is not None:
        forms.write_junit(made, junit)
    if ocptv is not None:
        forms.write_ocptv(made, ocptv)
    if allure is not None:
        forms.write_allure(made, stored, allure)
    if out is None:
        return
    click.echo(f"\nresults: {rejudge.write(made, out)}")
    if stored is not None:
        _write_page(stored.directory, out)


def _write_page(directory: Path, out: Path) -> None:
    from datetime import datetime

    from qualification.results.page import html
    from qualification.results.page import stored as stored_page
    from qualification.results.page.address import PAGE

    now = datetime.now().astimezone()
    html.write(
        stored_page.page_of(directory, now, lambda line: click.echo(line, err=True)), out / PAGE
    )
    click.echo(f"page: {out / PAGE}")


def _show(run: StoredRun, judged: Judged, *, verbose: bool) -> None:
    """Prints the report of a run that was judged again, with notes on it."""
    from qualification.results.directories import holder

    _print(judged.matrix, judged.findings, judged.culprits, verbose=verbose)
    goes_on = holder(run.directory)
    for note in (*judged.notes, *([f"the run goes on: {goes_on}"] if goes_on else [])):
        click.secho(f"note: {note}", fg=COLOURS["doubt"])
    for trouble in judged.troubles:
        click.secho(f"lab error in that run: {trouble}", fg=COLOURS["doubt"])


def _print(
    made: Matrix,
    notes: Sequence[ExpectationNote] = (),
    culprits: Sequence[CulpritFindings] = (),
    *,
    verbose: bool,
) -> None:
    import shutil

    from qualification.results.terminal import report

    width = min(shutil.get_terminal_size().columns, 200)
    lines = report.report(made, width, notes, culprits, every=verbose)
    for number, line in enumerate(lines):
        click.secho(line.text, fg=COLOURS.get(line.tone), bold=number == 0 or None)
