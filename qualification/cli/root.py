"""The group of all commands, its errors and exit codes, and options that several commands have."""

from __future__ import annotations

import importlib
from typing import Any

import click

from qualification import __version__
from qualification.errors import EXIT_INTERRUPTED, EXIT_USAGE, VxqualError

EXIT_CODES = """\b
Exit codes:
  0   qualified: every cell of the plan ran, and passed or failed as is known
      (verify: every checksum is right; selftest: every fault is detected)
  1   not qualified: the NIC sent wrong frames, or lost frames
  2   interrupted
  3   an internal error of vxqual; please report it
  4   invalid input: a topology, an option or a file cannot be used
  5   no cell was selected: controls and symptom alone do not qualify a NIC
  10  not judged: an error of the lab, a failed control, or too few frames
  11  partial: only a selection of the plan's cells ran; 0 with --partial-ok
  12  not exercised: the NIC had nothing to do where the plan counts on it
"""
ALL_EXIT_CODES = (
    f"{EXIT_CODES}  13  qualified with mitigation, by the policy of gate; 0 with --mitigation-ok\n"
)
"""Those of a run, and the one that the gate alone has."""


def codes(**meanings: str) -> str:
    """Returns the exit codes of one command as its help shows them: c0="ready"."""
    lines = [f"  {code[1:]:<3} {meaning}" for code, meaning in meanings.items()]
    return "\n".join(["\b", "Exit codes:", *lines])


COLOURS = {"good": "green", "bad": "red", "doubt": "yellow"}
"""The colours of the tones of a report's lines."""
USAGE = "invalid input: a topology, an option or a file cannot be used"


def examples(text: str) -> str:
    """Returns the examples of one command as its help shows them, before its exit codes."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in text.split("\n")), "", ""])


MODULES = {
    "bundle": "pages",
    "cases": "suite",
    "check": "running",
    "compare": "comparing",
    "gate": "gate",
    "history": "store",
    "import": "store",
    "init": "init",
    "judge": "stored",
    "lab": "lab",
    "notify": "nightly",
    "page": "pages",
    "plan": "running",
    "report": "stored",
    "restore": "running",
    "run": "running",
    "runs": "store",
    "selftest": "suite",
    "site": "pages",
    "verify": "verifying",
}
"""The commands, and the module of this package that has each: only that of a command that is called
is imported, for `vxqual verify` starts a quarter faster that way."""


class _Group(click.Group):
    """Imports a command when it is asked for, and reports errors without a traceback.

    An error of vxqual's own becomes a message and an exit code. See click, "Lazily Loading
    Subcommands".
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if module := MODULES.get(cmd_name):
            importlib.import_module(f"{__package__}.{module}")
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except VxqualError as error:
            click.echo(f"vxqual: {error}", err=True)
            ctx.exit(error.exit_code)
        except click.UsageError as error:
            error.show()
            ctx.exit(EXIT_USAGE)
        except KeyboardInterrupt:
            click.echo("vxqual: interrupted", err=True)
            ctx.exit(EXIT_INTERRUPTED)


pair_option = click.option(
    "--pair", multiple=True, metavar="NAME", help="Use only this pair; repeatable."
)
plan_option = click.option(
    "--plan",
    type=click.Choice(["quick", "standard", "full"]),
    default="standard",
    show_default=True,
    help="The number of offload sets to test.",
)
SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
rate_option = click.option(
    "--rate",
    type=SHARE,
    default=1e-3,
    show_default=True,
    help="The corruption rate that a PASS excludes.",
)
confidence_option = click.option(
    "--confidence",
    type=SHARE,
    default=0.999,
    show_default=True,
    help="The confidence with which a PASS excludes it.",
)
partial_option = click.option(
    "--partial-ok",
    is_flag=True,
    help="Exit with 0 if only a selection of the cells ran (-k, -m) and nothing failed.",
)
expectations_option = click.option(
    "--expectations", metavar="FILE", help="Known failures, as YAML: their cells end as KNOWN."
)
_STORE = (
    "The store of runs: a URL such as postgresql+psycopg://HOST/NAME, a directory of runs, or an "
    "SQLite file.  [default: "
)
store_option = click.option(
    "--store",
    metavar="URL",
    envvar="VXQUAL_STORE",
    show_envvar=True,
    help=f"{_STORE}out/runs.sqlite]",
)
run_store_option = click.option(
    "--store",
    metavar="URL",
    envvar="VXQUAL_STORE",
    show_envvar=True,
    help=f"{_STORE}runs.sqlite in the directory of --out]",
)


@click.group(cls=_Group, epilog=ALL_EXIT_CODES, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="vxqual")
def main() -> None:
    """Qualify a NIC's VXLAN checksum offloads before it goes into production.

    A topology is a YAML file that names hosts, their NICs and the pairs to qualify. The usual way:

    \b
      vxqual check my-lab.yaml           is the lab ready? changes nothing
      vxqual plan my-lab.yaml            what would run, and how long
      vxqual run my-lab.yaml             prints the matrix
      vxqual run my-lab.yaml --help      what else a run can do
      vxqual restore my-lab.yaml         puts back what a run has left changed
      vxqual gate out --policy p.yaml    may its NICs enter production?
    """  # noqa: D301  (\b is a backspace, by which click keeps the lines)
