"""The `vxqual` command: thin, each command a few lines over the package.

What a command needs is imported inside it: `vxqual verify` is a tool that people wait for.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qualification import __version__
from qualification.errors import (
    EXIT_INTERRUPTED,
    EXIT_LAB,
    EXIT_NOT_QUALIFIED,
    EXIT_USAGE,
    VxqualError,
)

if TYPE_CHECKING:
    from qualification.lab.standing import StandingLab
    from qualification.plan.cells import PlanName

_EXIT_CODES = """\b
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


def _codes(**meanings: str) -> str:
    """The exit codes of one command, as its help shows them: c0="ready"."""
    lines = [f"  {code[1:]:<3} {meaning}" for code, meaning in meanings.items()]
    return "\n".join(["\b", "Exit codes:", *lines])


_USAGE = "what was given cannot be used: topology, option or file"
_CHECK_CODES = _codes(c0="ready", c4=_USAGE, c10="something is in the way; what, and what to do")
_PLAN_CODES = _codes(c0="the plan is told", c4=_USAGE, c10="a host cannot be asked what it has")
_VERIFY_CODES = _codes(
    c0="every checksum is right",
    c1="there are wrong frames",
    c4="the file is no capture, or an option cannot be used",
    c10="no VXLAN frame could be judged, or the file is cut short",
)
_JUDGE_CODES = _codes(
    c0="qualified: every exercised cell passed, or failed as is known",
    c1="not qualified: the NIC put wrong frames on the wire, or lost some",
    c4="there is no stored run, it is cut short, or an option cannot be used",
    c10="the lab could not judge: a host, a control, too few frames",
)
_CASES_CODES = _codes(c0="they are listed")
_PROVE_CODES = _codes(
    c0="every fault is caught, named and healed as it must be, and no good firmware fails",
    c1="some are not; the lines say what is missing",
    c4="there is no such firmware",
)
_UP_CODES = _codes(c0="the lab stands", c4=_USAGE, c10="this machine cannot build it")
_DOWN_CODES = _codes(c0="there is no lab of that topology, or no longer")
_STATUS_CODES = _codes(c0="the lab stands", c10="it does not")

_COLOURS = {"good": "green", "bad": "red", "doubt": "yellow"}


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


_topology = click.option(
    "--topology", "-t", required=True, metavar="FILE", help="The lab: hosts and pairs, as YAML."
)
_pair = click.option("--pair", multiple=True, metavar="NAME", help="Only this pair; repeatable.")
_plan = click.option(
    "--plan",
    type=click.Choice(["quick", "standard", "full"]),
    default="standard",
    show_default=True,
    help="How many offload sets.",
)
_share = click.FloatRange(0, 1, min_open=True, max_open=True)
_rate = click.option(
    "--rate", type=_share, default=1e-3, show_default=True, help="Corruption rate a PASS excludes."
)
_confidence = click.option(
    "--confidence", type=_share, default=0.999, show_default=True, help="With which confidence."
)
_expectations = click.option(
    "--expectations", metavar="FILE", help="Failures that are known, as YAML: they end as KNOWN."
)


@click.group(cls=_Group, epilog=_EXIT_CODES, context_settings={"max_content_width": 100})
@click.version_option(__version__, prog_name="vxqual")
def main() -> None:
    """Qualify a NIC's VXLAN checksum offloads before it goes into production."""


@main.command(
    epilog=_EXIT_CODES, context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
)
@_topology
@_pair
@_plan
@_rate
@_confidence
@click.option("--seed", type=int, metavar="N", help="Seed of every payload; a new one if absent.")
@click.option(
    "--symptom/--no-symptom",
    default=None,
    help="Tell what an application would feel.  [default: with plan standard or full]",
)
@click.option("--out", default="out", show_default=True, metavar="DIR", help="Where results go.")
@click.option(
    "-n",
    "--parallel",
    default="auto",
    show_default=True,
    metavar="N",
    help="Pairs to run at the same time; those that share a NIC never do.",
)
@_expectations
@click.pass_context
def run(
    ctx: click.Context,
    topology: str,
    pair: tuple[str, ...],
    plan: str,
    rate: float,
    confidence: float,
    seed: int | None,
    symptom: bool | None,
    out: str,
    parallel: str,
    expectations: str | None,
) -> None:
    """Qualify every pair of a topology and print the matrix.

    It is pytest underneath: further options are pytest's own, such as -k, --junitxml=FILE,
    --alluredir=DIR or -v for a line per cell.
    """
    import pytest

    from qualification import cases

    chosen = [f"--vx-pair={name}" for name in pair]
    chosen += [f"--vx-seed={seed}"] if seed is not None else []
    chosen += [f"--vx-expectations={expectations}"] if expectations is not None else []
    chosen += [f"--vx-symptom={'on' if symptom else 'off'}"] if symptom is not None else []
    ctx.exit(
        int(
            pytest.main(
                [
                    str(Path(cases.__file__).parent),
                    f"--vx-topology={topology}",
                    f"--vx-plan={plan}",
                    f"--vx-rate={rate}",
                    f"--vx-confidence={confidence}",
                    f"--vx-out={out}",
                    f"--numprocesses={_workers(topology, pair, parallel)}",
                    *chosen,
                    *ctx.args,
                ]
            )
        )
    )


def _workers(topology: str, pairs: tuple[str, ...], wanted: str) -> str:
    """Workers are worth their start only where there is something to do side by side."""
    if wanted.isdecimal():
        return wanted
    if wanted != "auto":
        raise click.BadParameter(
            f"{wanted!r} is neither a number nor auto.", param_hint="'-n' / '--parallel'"
        )
    from qualification.topology import load

    groups = {
        group for name, group in load(topology).groups().items() if name in pairs or not pairs
    }
    return "auto" if len(groups) > 1 else "0"


@main.command(epilog=_CHECK_CODES)
@click.argument("topology", metavar="TOPOLOGY")
@_pair
def check(topology: str, pair: tuple[str, ...]) -> None:
    """Say whether a lab is ready. Changes nothing on its hosts.

    The agent is stored in the login user's cache on each host, where a run would store it too.
    """
    from qualification.run.prepare import check_lab

    sys.exit(check_lab(topology, list(pair), click.echo))


@main.command(epilog=_PLAN_CODES)
@_topology
@_pair
@_plan
@_rate
@_confidence
@click.option("--cells", is_flag=True, help="List every cell.")
def plan(
    topology: str,
    pair: tuple[str, ...],
    plan: PlanName,
    rate: float,
    confidence: float,
    cells: bool,
) -> None:
    """Say what would run: cells, how many, about how long. Sends nothing."""
    from qualification.run.prepare import show_plan

    show_plan(topology, list(pair), plan, rate, confidence, cells, click.echo)


@main.command(epilog=_JUDGE_CODES)
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--rate", type=_share, help="Corruption rate a PASS excludes; the run's if absent.")
@click.option("--confidence", type=_share, help="With which confidence; the run's if absent.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write matrix.json there; without it nothing is written.",
)
@_expectations
def judge(
    directory: Path,
    rate: float | None,
    confidence: float | None,
    out: Path | None,
    expectations: str | None,
) -> None:
    """Judge a stored run again, from the directory of its results. Touches no host.

    Controls and cells are judged anew by what was captured; cells that never ran stay as they were.
    Expectations expire by today's date; without --expectations they are those of the run.
    """
    import shutil
    from dataclasses import replace
    from datetime import datetime

    from qualification.judge.expectations import EXPECTATIONS
    from qualification.results import again, store, terminal
    from qualification.topology.reading import load_as

    run = store.read(directory)
    if expectations is not None:
        known = load_as(EXPECTATIONS, Path(expectations))
        run = replace(run, campaign=replace(run.campaign, expectations=known))
    judged = again.judge(run, datetime.now().astimezone().date(), rate, confidence)
    written = None if out is None else again.write(judged, out)
    columns = shutil.get_terminal_size().columns
    for number, line in enumerate(
        terminal.report(judged.matrix, judged.exit_code, min(columns, 200), judged.findings)
    ):
        click.secho(line.text, fg=_COLOURS.get(line.tone), bold=number == 0 or None)
    for trouble in judged.troubles:
        click.secho(f"the lab's error in that run: {trouble}", fg=_COLOURS["doubt"])
    if written is not None:
        click.echo(f"\nresults: {written}")
    sys.exit(judged.exit_code)


@main.command(epilog=_VERIFY_CODES)
@click.argument("capture", type=click.Path(path_type=Path), metavar="CAPTURE")
@click.option(
    "--port",
    "ports",
    multiple=True,
    type=click.IntRange(1, 65535),
    default=(4789,),
    show_default=True,
    help="UDP port that means VXLAN; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Say it as JSON.")
@click.option("--frames", is_flag=True, help="A line for each frame, to compare with other tools.")
def verify(capture: Path, ports: tuple[int, ...], as_json: bool, frames: bool) -> None:
    """Check every checksum in a capture (pcap or pcapng), inside and outside of VXLAN.

    Capture on the receiver: on the sender the NIC has not filled the checksums in yet.
    """
    from qualification.offline import verify_file

    sys.exit(verify_file(capture, ports=ports, as_json=as_json, frames=frames, echo=click.echo))


@main.command(epilog=_CASES_CODES)
def cases() -> None:
    """List what is sent and received, and which faults each volley is for."""
    from qualification.plan.besides import BESIDES
    from qualification.plan.cells import CONTROLS, TAGGED, TAGGED_TITLE
    from qualification.plan.flows import STATES
    from qualification.wire.arrivals import RIGHT, WRONG
    from qualification.wire.volleys import VOLLEYS

    click.echo("controls, with every offload off:")
    for name, title in (*CONTROLS.items(), (TAGGED, TAGGED_TITLE)):
        click.echo(f"  {name:<12} {title}")
    click.echo("\nthe kernel's own traffic, under every offload set:")
    click.echo("  tcp          streams in bulk; the kernel makes super-packets of them")
    click.echo("  udp          small datagrams of every length, odd and even")
    click.echo("  udp-seg      datagrams in super-packets, by UDP_SEGMENT")
    click.echo("\nvolleys of crafted buffers, with everything on:")
    for volley in VOLLEYS.values():
        click.echo(f"  {volley.name:<12} {volley.title}")
        click.echo(f"  {'':<12} for: {', '.join(volley.faults)}")
    click.echo("\na few of both, with everything on:")
    for name, (title, faults) in BESIDES.items():
        click.echo(f"  {name:<12} {title}")
        click.echo(f"  {'':<12} for: {faults}")
    click.echo("\ntwo volleys again, last of all, after the NIC has been through something:")
    for state, (title, faults) in STATES.items():
        click.echo(f"  {'@' + state:<12} {title}")
        click.echo(f"  {'':<12} for: {faults}")
    width = max(map(len, (*RIGHT, *WRONG)))
    click.echo("\nframes that the DUT receives, under every set of receive features:")
    click.echo("  right ones, each to be delivered; for: rx-strict")
    for name, title in RIGHT.items():
        click.echo(f"    {name:<{width}} {title}")
    click.echo("  wrong ones, each to be refused; for: rx-blind, rx-level")
    for name, (title, _) in WRONG.items():
        click.echo(f"    {name:<{width}} {title}")


@main.command(epilog=_PROVE_CODES)
@click.argument("firmware", nargs=-1)
@click.option(
    "--seeds", type=click.IntRange(1), default=1, show_default=True, help="Tries of each good one."
)
@click.option("--seed", type=int, default=1, show_default=True, help="The first seed.")
@click.option(
    "-n", "--parallel", "jobs", type=click.IntRange(1), default=2, show_default=True,
    help="Labs at the same time.",
)  # fmt: skip
def prove(firmware: tuple[str, ...], seeds: int, seed: int, jobs: int) -> None:
    """Try the suite on soft NICs that are faulty on purpose: what it sees, and what it misses.

    Each FIRMWARE, or every one there is, gets a lab of its own; needs root, as the loopback lab
    does. topologies/firmwares.md says what each of them does.
    """
    from qualification.results.proof_lines import HEADING, line
    from qualification.run.prove import prove as tried

    missed, count = [], 0
    click.echo(HEADING)
    for proof in tried(firmware, seeds, jobs, seed):
        seen = proof.seen
        count += 1
        click.echo(
            line(
                proof.trial.model, seen.verdicts, seen.signatures, seen.culprits, seen.frames,
                seen.seconds, proof.missing,
            )
        )  # fmt: skip
        missed += [proof.trial.model] if proof.missing else []
    if missed:
        click.echo(f"{count} tried, {len(missed)} not as they must be: {', '.join(missed)}")
        sys.exit(EXIT_NOT_QUALIFIED)
    click.echo(f"{count} tried, all as they must be")


@main.group()
def lab() -> None:
    """Keep a loopback lab standing, to play with."""


def _lab_command(name: str, epilog: str) -> Callable[[Callable[[Path], None]], click.Command]:
    argument = click.argument("topology", type=click.Path(path_type=Path), metavar="TOPOLOGY")
    return lambda function: lab.command(name, epilog=epilog)(argument(function))


@_lab_command("up", _UP_CODES)
def lab_up(topology: Path) -> None:
    """Build a topology's lab and leave it standing."""
    from qualification.lab import standing
    from qualification.topology import load

    built = standing.up(load(topology), topology)
    click.echo(f"the lab of {topology} {'stands already' if built.stood else 'stands'}")
    _show(built)
    click.echo(f"\nqualify it:  vxqual run --topology {built.topology}")
    click.echo(f"take it away:  vxqual lab down {topology}")


@_lab_command("down", _DOWN_CODES)
def lab_down(topology: Path) -> None:
    """Take a standing lab away; harmless where there is none."""
    from qualification.lab import standing

    gone = standing.down(topology)
    click.echo(f"the lab of {topology} {'is gone' if gone else 'did not stand'}")


@_lab_command("status", _STATUS_CODES)
def lab_status(topology: Path) -> None:
    """Show a standing lab: hosts, how to log in, NICs and what they have counted."""
    from qualification.lab import standing

    found = standing.status(topology)
    if found is None:
        click.echo(f"the lab of {topology} does not stand; vxqual lab up {topology}")
        sys.exit(EXIT_LAB)
    click.echo(f"the lab of {topology} stands")
    _show(found)


def _show(found: StandingLab) -> None:
    for host in found.hosts:
        click.echo(f"\nhost {host.name}: namespace {host.namespace}\n  {host.ssh}")
    for nic in found.nics:
        counted = ", ".join(f"{count:,} {name}" for name, count in nic.counters.items() if count)
        alive = f"pid {nic.pid}" if nic.pid else "not running"
        click.echo(f"\nNIC {nic.name}: {nic.interface}, firmware {nic.firmware}, {alive}")
        click.echo(f"  {counted or 'nothing counted yet'}")
    for sentence in found.missing:
        click.echo(f"\nnote: {sentence}")


if __name__ == "__main__":
    main()
