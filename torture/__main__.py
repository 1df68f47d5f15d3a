"""`scripts/torture`: tries every scenario and counts how many trials held."""

from __future__ import annotations

import random
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click

from qualification.errors import EXIT_INTERRUPTED, EXIT_LAB, EXIT_QUALIFIED, VxqualError

from .scenarios import SCENARIOS
from .side_by_side import Labs
from .trial import Setting, Trial

_FAILED = 1
_LIST = "\n".join(f"  {name:<12} {scenario.title}" for name, scenario in SCENARIOS.items())
_EPILOG = f"""\b
Scenarios:
{_LIST}

\b
Examples:
  scripts/torture                       all of them, 20 minutes on two cores
  scripts/torture --short               a few trials of each, under 3 minutes; what CI runs
  scripts/torture kills --times 20 --seed 7

\b
Exit codes:
  0   every trial held
  1   one did not; the lines above say what
  2   interrupted
  10  a lab could not be built
"""


@click.command(epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.argument("names", nargs=-1, type=click.Choice(list(SCENARIOS)), metavar="[SCENARIO]...")
@click.option("--times", type=click.IntRange(1), metavar="N",
              help="How often a process is killed; 100 by default, 5 with --short.")  # fmt: skip
@click.option(
    "--short",
    is_flag=True,
    help="A few trials of each, as CI runs them; hostile only if named: scripts/test has it.",
)
@click.option("--seed", type=int, help="Of moments and victims; printed at the start.")
def main(names: Sequence[str], times: int | None, short: bool, seed: int | None) -> None:
    """Disturb runs on loopback labs in every way, and count how often all was well afterwards.

    After each disturbance the hosts must be as they were, no finished cell may be lost, and the run
    must go on to the verdicts that it has when nothing disturbs it. Needs root.
    """
    seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    times = times or (5 if short else 100)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    click.echo(f"torture: seed {seed}")
    failed = 0
    chosen = names or [name for name, one in SCENARIOS.items() if not (short and one.tested)]
    with (
        tempfile.TemporaryDirectory(prefix="vxqual-torture-") as scratch,
        Labs(Path(scratch), _say) as labs,
    ):
        examples = 200 if short else 10_000
        setting = Setting(times, random.Random(seed), Path(scratch), examples, labs)
        try:
            for name in chosen:
                failed += _try(name, setting)
        except KeyboardInterrupt:
            sys.exit(EXIT_INTERRUPTED)
        except VxqualError as error:
            click.echo(f"torture: {error}", err=True)
            sys.exit(EXIT_LAB)
    sys.exit(_FAILED if failed else EXIT_QUALIFIED)


def _try(name: str, setting: Setting) -> int:
    """Tries a scenario and prints its trials; returns how many did not hold."""
    scenario, start = SCENARIOS[name], time.monotonic()
    trials: list[Trial] = []
    for trial in scenario.trials(setting):
        trials.append(trial)
        _say(f"{name}: {trial.what}: {'NOT WELL' if trial.problems else 'well'}")
        for problem in trial.problems:
            click.echo("    " + problem.replace("\n", "\n    "))
    failed = sum(bool(trial.problems) for trial in trials)
    click.echo(
        f"{name}: {len(trials) - failed} of {len(trials)} held in "
        f"{time.monotonic() - start:.0f} s: {scenario.title}"
    )
    return failed


def _say(text: str) -> None:
    click.echo(f"torture: {text}", err=True)


if __name__ == "__main__":
    main(prog_name="scripts/torture")
