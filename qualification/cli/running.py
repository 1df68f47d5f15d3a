"""Commands that have a lab: run, check, plan; cases, which lists what they send; selftest."""
# ruff: noqa: PLC0415

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qualification.errors import EXIT_NOT_QUALIFIED

from .root import (
    EXIT_CODES,
    USAGE,
    codes,
    confidence_option,
    expectations_option,
    main,
    pair_option,
    plan_option,
    rate_option,
    topology_option,
)

if TYPE_CHECKING:
    from qualification.plan.cells import PlanName

_CHECK_CODES = codes(c0="ready", c4=USAGE, c10="something is in the way; what, and what to do")
_PLAN_CODES = codes(c0="the plan is told", c4=USAGE, c10="a host cannot be asked what it has")
_CASES_CODES = codes(c0="they are listed")
_SELFTEST_CODES = codes(
    c0="every fault is caught, named and healed as it must be, and no good firmware fails",
    c1="some are not; the lines say what is missing",
    c4="there is no such firmware",
)


@main.command(
    epilog=EXIT_CODES, context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
)
@topology_option
@pair_option
@plan_option
@rate_option
@confidence_option
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
    help="Pairs to run at the same time; those that share a NIC never do. auto: all that may, of "
    "the loopback lab two for each CPU.",
)
@expectations_option
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
@pair_option
def check(topology: str, pair: tuple[str, ...]) -> None:
    """Say whether a lab is ready. Changes nothing on its hosts.

    The agent is stored in the login user's cache on each host, where a run would store it too.
    """
    from qualification.run.prepare import check_lab

    sys.exit(check_lab(topology, list(pair), click.echo))


@main.command(epilog=_PLAN_CODES)
@topology_option
@pair_option
@plan_option
@rate_option
@confidence_option
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


@main.command(epilog=_CASES_CODES)
def cases() -> None:
    """List what is sent and received, and which faults each crafted packet set is for."""
    from qualification.plan.cells import CONTROLS, TAGGED, TAGGED_TITLE
    from qualification.plan.extra_flows import EXTRA_FLOWS
    from qualification.plan.flows import STATES
    from qualification.wire.crafted.packet_sets import PACKET_SETS
    from qualification.wire.crafted.receive_tests import RIGHT, WRONG

    click.echo("controls, with every offload off:")
    for name, title in (*CONTROLS.items(), (TAGGED, TAGGED_TITLE)):
        click.echo(f"  {name:<12} {title}")
    click.echo("\nthe kernel's own traffic, under every offload set:")
    click.echo("  tcp          streams in bulk; the kernel makes super-packets of them")
    click.echo("  udp          small datagrams of every length, odd and even")
    click.echo("  udp-seg      datagrams in super-packets, by UDP_SEGMENT")
    click.echo("\nvolleys of crafted buffers, with everything on:")
    for packet_set in PACKET_SETS.values():
        click.echo(f"  {packet_set.name:<12} {packet_set.title}")
        click.echo(f"  {'':<12} for: {', '.join(packet_set.faults)}")
    click.echo("\na few of both, with everything on:")
    for name, (title, faults) in EXTRA_FLOWS.items():
        click.echo(f"  {name:<12} {title}")
        click.echo(f"  {'':<12} for: {faults}")
    click.echo(
        "\ntwo crafted packet sets again, last of all, after the NIC has been through something:"
    )
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


@main.command(epilog=_SELFTEST_CODES)
@click.argument("firmware", nargs=-1)
@click.option(
    "--seeds", type=click.IntRange(1), default=1, show_default=True, help="Tries of each good one."
)
@click.option("--seed", type=int, default=1, show_default=True, help="The first seed.")
@click.option(
    "-n", "--parallel", "jobs", type=click.IntRange(1), default=4 * (os.cpu_count() or 1),
    show_default="four for each CPU", help="Labs at the same time; half of the time they wait.",
)  # fmt: skip
def selftest(firmware: tuple[str, ...], seeds: int, seed: int, jobs: int) -> None:
    """Try the suite on soft NICs that are faulty on purpose: what it sees, and what it misses.

    Each FIRMWARE, or every one there is, gets a lab of its own; needs root, as the loopback lab
    does. topologies/firmwares.md says what each of them does.
    """
    from qualification.selftest.lines import HEADING, line
    from qualification.selftest.run import selftest as tried

    missed, count = [], 0
    click.echo(HEADING)
    for proof in tried(firmware, seeds, jobs, seed):
        seen = proof.seen
        count += 1
        click.echo(
            line(
                proof.model, seen.verdicts, seen.signatures, seen.culprits, seen.frames,
                seen.seconds, proof.missing,
            )
        )  # fmt: skip
        missed += [proof.model] if proof.missing else []
    if missed:
        click.echo(f"{count} tried, {len(missed)} not as they must be: {', '.join(missed)}")
        sys.exit(EXIT_NOT_QUALIFIED)
    click.echo(f"{count} tried, all as they must be")
