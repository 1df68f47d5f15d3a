"""The command for stored runs: judge."""
# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from pathlib import Path

import click

from .root import COLOURS, SHARE, codes, examples, expectations_option, main, partial_option

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


@main.command(epilog=_JUDGE_EXAMPLES + _JUDGE_CODES)
@click.argument("directory", type=click.Path(path_type=Path), metavar="[DIR]", default="out")
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
@partial_option
@expectations_option
@click.option("-v", "--verbose", is_flag=True, help="Show the matrix of every pair.")
def judge(
    directory: Path,
    rate: float | None,
    confidence: float | None,
    out: Path | None,
    partial_ok: bool,
    expectations: str | None,
    verbose: bool,
) -> None:
    """Judge a stored run again, from its directory. No host is needed.

    DIR is the directory of a run, or that which --out of `vxqual run` named, of which the latest
    run is meant; by default, out.

    Controls and cells are judged by the stored evidence; cells that never ran keep their verdict.
    Expectations expire by today's date; without --expectations those of the run are used.
    """
    import shutil
    from dataclasses import replace
    from datetime import datetime

    from qualification.config.reading import load_as
    from qualification.judge.known.expectations import EXPECTATIONS
    from qualification.results import rejudge, run_directory
    from qualification.results.directories import holder
    from qualification.results.terminal import report

    run = run_directory.read(directory)
    if expectations is not None:
        known = load_as(EXPECTATIONS, Path(expectations))
        run = replace(run, campaign=replace(run.campaign, expectations=known))
    if partial_ok:
        run = replace(run, selection=replace(run.selection, partial_ok=True))
    judged = rejudge.judge(run, datetime.now().astimezone().date(), rate, confidence)
    written = None if out is None else rejudge.write(judged, out)
    columns = shutil.get_terminal_size().columns
    for number, line in enumerate(
        report.report(
            judged.matrix, min(columns, 200), judged.findings, judged.culprits, every=verbose
        )
    ):
        click.secho(line.text, fg=COLOURS.get(line.tone), bold=number == 0 or None)
    goes_on = holder(run.directory)
    for note in (*judged.notes, *([f"the run goes on: {goes_on}"] if goes_on else [])):
        click.secho(f"note: {note}", fg=COLOURS["doubt"])
    for trouble in judged.troubles:
        click.secho(f"lab error in that run: {trouble}", fg=COLOURS["doubt"])
    if written is not None:
        click.echo(f"\nresults: {written}")
    sys.exit(judged.exit_code)
