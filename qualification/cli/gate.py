"""The command of the gate: gate, which holds a stored run against a policy."""
# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from pathlib import Path

import click

from .root import COLOURS, codes, examples, main, store_option

_GATE_CODES = codes(
    c0="qualified: every NIC meets every rule; with --mitigation-ok, also with a mitigation",
    c1="not qualified: a NIC does not meet a rule",
    c4="there is no such run, or the policy or an option cannot be used",
    c10="not judged: the lab could not decide a rule, and nothing speaks against a NIC",
    c13="qualified with mitigation: a NIC has to be used with features turned off",
)
_GATE_EXAMPLES = examples("""\
vxqual gate out --policy policy.yaml                           the latest run in out
vxqual gate out/20261129-053315-482913 --policy policy.yaml    another one
vxqual gate out --policy policy.yaml --mitigation-ok           0 with a mitigation, too
vxqual gate out --policy policy.yaml --out certificate         writes the certificate
vxqual gate out --policy policy.yaml --out certificate --pdf --sign ~/.ssh/id_ed25519""")


@main.command(epilog=_GATE_EXAMPLES + _GATE_CODES)
@click.argument("run", metavar="[RUN]", default="out")
@click.option(
    "--policy",
    "policy_file",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="What is demanded, as YAML; `vxqual init policy` writes one.",
)
@click.option(
    "--mitigation-ok",
    is_flag=True,
    help="Exit with 0, not with 13, if a NIC is qualified with a mitigation.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the certificate to this directory, as JSON and HTML; by default, nothing.",
)
@click.option("--pdf", "with_pdf", is_flag=True, help="Write it as PDF, too; needs vxqual[pdf].")
@click.option(
    "--sign",
    "key",
    type=click.Path(path_type=Path),
    metavar="KEY",
    help="Sign certificate.json with this SSH key: certificate.json.sig.",
)
@store_option
@click.option("-v", "--verbose", is_flag=True, help="Show each rule with its answer.")
def gate(
    run: str,
    store: str | None,
    policy_file: Path,
    out: Path | None,
    key: Path | None,
    *,
    mitigation_ok: bool,
    with_pdf: bool,
    verbose: bool,
) -> None:
    """May the NICs of a stored run enter production, by a policy? No host is needed.

    RUN is the directory of a run, the directory that --out of `vxqual run` named, of which the
    latest run is meant, or the id of a run in out or in the store; by default, out.

    The run is judged again by its stored evidence, and each rule of the policy gets an answer. Ages
    and last days count by today's date.
    """
    import shutil
    from datetime import datetime

    from qualification.config.reading import load_as
    from qualification.results import handouts, rejudge, run_directory
    from qualification.results.gate import certificate, decision, lines, paper
    from qualification.results.gate.policy import POLICY
    from qualification.results.run_argument import resolve

    if out is None and (with_pdf or key is not None):
        raise click.UsageError("--pdf and --sign need --out, the directory to write to")
    policy = load_as(POLICY, policy_file)
    stored = run_directory.read(resolve(run, store=store))
    now = datetime.now().astimezone()
    judged = rejudge.judge(stored, now.date())
    decided = decision.decide(judged, policy, now)
    width = min(shutil.get_terminal_size().columns, 200)
    for number, line in enumerate(lines.lines(decided, judged.matrix.run, width, every=verbose)):
        click.secho(line.text, fg=COLOURS.get(line.tone), bold=number == 0 or None)
    if out is not None:
        certified = certificate.certify(decided, judged.matrix, stored.directory)
        written = paper.write(certificate.document(certified), out, key, with_pdf=with_pdf)
        click.echo(f"\ncertificate: {', '.join(map(str, written))}")
        warning = handouts.record(handouts.CERTIFICATE, out, stored.directory, store)
        if warning:
            click.echo(f"warning: {warning}", err=True)
    sys.exit(decided.exit_code(mitigation_ok=mitigation_ok))
