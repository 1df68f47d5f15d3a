"""What all commands share: the group, its errors and exit codes, options that several have."""

from __future__ import annotations

from typing import Any

import click

from qualification import __version__
from qualification.errors import EXIT_INTERRUPTED, EXIT_USAGE, VxqualError

EXIT_CODES = """\b
Exit codes:
  0   qualified: every exercised cell passed, or failed as is known
      (verify: every checksum is right)
  1   not qualified: the NIC put wrong frames on the wire, or lost some
  2   interrupted
  3   an error of vxqual's own; please report it
  4   what was given cannot be used: topology, option or file
  5   nothing was selected, or no cell: controls and symptom alone qualify no NIC
  10  the lab could not judge: a host, a control, too few frames
"""


def codes(**meanings: str) -> str:
    """The exit codes of one command, as its help shows them: c0="ready"."""
    lines = [f"  {code[1:]:<3} {meaning}" for code, meaning in meanings.items()]
    return "\n".join(["\b", "Exit codes:", *lines])


USAGE = "what was given cannot be used: topology, option or file"


class _Group(click.Group):
    """Turns our errors into their exit codes, and never into a traceback."""

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


topology_option = click.option(
    "--topology", "-t", required=True, metavar="FILE", help="The lab: hosts and pairs, as YAML."
)
pair_option = click.option(
    "--pair", multiple=True, metavar="NAME", help="Only this pair; repeatable."
)
plan_option = click.option(
    "--plan",
    type=click.Choice(["quick", "standard", "full"]),
    default="standard",
    show_default=True,
    help="How many offload sets.",
)
SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
rate_option = click.option(
    "--rate", type=SHARE, default=1e-3, show_default=True, help="Corruption rate a PASS excludes."
)
confidence_option = click.option(
    "--confidence", type=SHARE, default=0.999, show_default=True, help="With which confidence."
)
expectations_option = click.option(
    "--expectations", metavar="FILE", help="Failures that are known, as YAML: they end as KNOWN."
)


@click.group(cls=_Group, epilog=EXIT_CODES, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="vxqual")
def main() -> None:
    """Qualify a NIC's VXLAN checksum offloads before it goes into production."""
