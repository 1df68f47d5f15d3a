"""`scripts/bench`: measures and prints the results."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from qualification.errors import (
    EXIT_INTERRUPTED,
    EXIT_LAB,
    EXIT_NOT_QUALIFIED,
    EXIT_QUALIFIED,
    VxqualError,
)

from .kinds import KINDS
from .machine import this_machine
from .page import page
from .report import Results, document, measured, table, unmeasured
from .rows import Row, Unmeasured
from .setting import Setting

_BUSY = 0.5
_LIST = "\n".join(
    f"  {name:<10} {kind.title}; {kind.minutes:g} min"
    + ("" if kind.by_default else ", only when named or with --all")
    for name, kind in KINDS.items()
)
_EPILOG = f"""\b
Kinds, and about how long each takes on two cores:
{_LIST}

\b
Examples:
  scripts/bench                         all but the longest kinds, {
    sum(kind.minutes for kind in KINDS.values() if kind.by_default):.0f} min
  scripts/bench verify live             two kinds
  scripts/bench --quick verify          small inputs, to check that it works
  scripts/bench --all --page docs/performance.md --json bench.json

\b
Exit codes:
  0   every bar is reached
  1   one is not
  2   interrupted
  10  something could not be measured; the table says why
"""


@click.command(epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.argument("kinds", nargs=-1, type=click.Choice(list(KINDS)), metavar="[KIND]...")
@click.option("--all", "everything", is_flag=True, help="Every kind there is.")
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True, metavar="N",
              help="How often each is measured; the medians are printed.")  # fmt: skip
@click.option(
    "--quick",
    is_flag=True,
    help="Small inputs: to check that the bench works; the figures are meaningless.",
)
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path),
              metavar="FILE", help="Write every figure of every round to FILE.")  # fmt: skip
@click.option("--page", "page_file", type=click.Path(dir_okay=False, path_type=Path),
              metavar="FILE", help="Write the page docs/performance.md to FILE.")  # fmt: skip
@click.option("--inputs", type=click.Path(file_okay=False, path_type=Path), metavar="DIR",
              help="Keep the capture files, 5 GB, in DIR for the next run.")  # fmt: skip
def main(
    kinds: Sequence[str],
    everything: bool,
    rounds: int,
    quick: bool,
    json_file: Path | None,
    page_file: Path | None,
    inputs: Path | None,
) -> None:
    """Measure vxqual and the tools people use today, and print medians, ratios and bars.

    tcpdump, tshark and a loop of sendto get the same input as vxqual, in turn with it, in every
    round. Kinds that use a network need root. Inputs need 5 GB of disk. The machine must be
    otherwise idle.
    """
    if quick and page_file:
        raise click.UsageError(
            "--quick and --page exclude each other: quick figures are meaningless"
        )
    chosen = [
        name
        for name, kind in KINDS.items()
        if everything or (name in kinds if kinds else kind.by_default)
    ]
    machine = this_machine()
    if machine.load > _BUSY and not quick:
        _say(
            f"the machine is busy: load average {machine.load:.2f}. The figures will be inaccurate"
        )
    signal.signal(
        signal.SIGTERM, signal.default_int_handler
    )  # so that everything is undone as after Ctrl-C
    interrupted = False
    rows: dict[str, tuple[Row | Unmeasured, ...]] = {}
    with tempfile.TemporaryDirectory(prefix="vxqual-bench-") as scratch:
        setting = Setting(rounds, quick, Path(scratch), inputs or Path(scratch), _say)
        try:
            for name in chosen:
                rows[name] = _measure(name, setting)
        except KeyboardInterrupt:
            interrupted = True
    results = Results(machine, rounds, quick, rows)
    click.echo("\n".join(table(results)))
    # After an interruption, the files have the rows measured until then.
    if json_file:
        json_file.write_text(json.dumps(document(results), indent=1) + "\n", encoding="utf-8")
    if page_file:
        page_file.parent.mkdir(parents=True, exist_ok=True)
        page_file.write_text(page(results, KINDS), encoding="utf-8")
    sys.exit(EXIT_INTERRUPTED if interrupted else _exit_code(results))


def _measure(name: str, setting: Setting) -> tuple[Row | Unmeasured, ...]:
    """Returns the rows of a kind; after an error, the last one describes the error."""
    kind, rows = KINDS[name], list[Row | Unmeasured]()
    try:
        for row in kind.measure(setting):
            rows.append(row)  # rows before an error are kept
    except (VxqualError, OSError) as error:
        _say(f"{name}: {error}")
        rows.append(Unmeasured(kind.title, str(error)))
    return tuple(rows)


def _exit_code(results: Results) -> int:
    if unmeasured(results.all_rows):
        return EXIT_LAB
    missed = any(row.reached is False for row in measured(results.all_rows))
    return EXIT_NOT_QUALIFIED if missed and not results.quick else EXIT_QUALIFIED


def _say(text: str) -> None:
    click.echo(f"bench: {text}", err=True)


if __name__ == "__main__":
    main(prog_name="scripts/bench")
