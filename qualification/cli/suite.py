"""Commands about the suite itself: cases, which lists the traffic, and selftest."""
# ruff: noqa: PLC0415

from __future__ import annotations

import os
import sys
from collections import Counter

import click

from qualification.errors import EXIT_NOT_QUALIFIED

from .root import codes, examples, main

_SHARES = {"full": 1, "tenth": 10, "hundredth": 100}


def _pace(_context: click.Context, _option: click.Parameter, value: str) -> int:
    """Returns the frames per second that an option names, or a share of those of a run."""
    from qualification.judge.pace import FASTEST, SLOWEST

    if value in _SHARES:
        return FASTEST // _SHARES[value]
    if value.isdecimal() and SLOWEST <= int(value) <= FASTEST:
        return int(value)
    raise click.BadParameter(
        f"{value!r} is neither {', '.join(_SHARES)} nor a number of frames/s "
        f"from {SLOWEST} to {FASTEST:,}"
    )


_CASES_EXAMPLES = examples("vxqual cases     all traffic, and what it is for")
_SELFTEST_EXAMPLES = examples("""\
vxqual selftest                    every firmware, in some minutes
vxqual selftest seed-left good     these two
vxqual selftest good --pace tenth  at a tenth of the pace; good firmwares must come out the same""")
_CASES_CODES = codes(c0="the cases are listed")
_SELFTEST_CODES = codes(
    c0="every fault is detected with its signature and culprit; no good firmware fails",
    c1="a firmware was not detected as expected; its line says what is missing",
    c4="there is no such firmware",
)


@main.command(epilog=_CASES_EXAMPLES + _CASES_CODES)
def cases() -> None:
    """List the traffic of all cases, and the faults that each crafted packet set detects."""
    from qualification.plan.cells import CONTROLS, TAGGED, TAGGED_TITLE
    from qualification.plan.extra_flows import EXTRA_FLOWS
    from qualification.plan.flows import STATES
    from qualification.wire.crafted.catalogue import PACKET_SETS
    from qualification.wire.crafted.receive_tests import RIGHT, WRONG

    click.echo("controls, with every offload off:")
    for name, title in (*CONTROLS.items(), (TAGGED, TAGGED_TITLE)):
        click.echo(f"  {name:<12} {title}")
    click.echo("\nbulk traffic from the kernel's sockets, under every offload set:")
    click.echo("  tcp          bulk streams, which the kernel sends as super-packets (GSO)")
    click.echo("  udp          small datagrams of every length, odd and even")
    click.echo("  udp-seg      datagrams in super-packets, by UDP_SEGMENT")
    click.echo("\ncrafted packet sets, with every offload on:")
    for packet_set in PACKET_SETS.values():
        click.echo(f"  {packet_set.name:<12} {packet_set.title}")
        click.echo(f"  {'':<12} for: {', '.join(packet_set.faults)}")
    click.echo("\nextra flows of both kinds, with every offload on:")
    for name, (title, faults) in EXTRA_FLOWS.items():
        click.echo(f"  {name:<12} {title}")
        click.echo(f"  {'':<12} for: {faults}")
    click.echo(
        "\ntwo of the crafted packet sets again, at the end, after the NIC has changed its state:"
    )
    for state, (title, faults) in STATES.items():
        click.echo(f"  {'@' + state:<12} {title}")
        click.echo(f"  {'':<12} for: {faults}")
    width = max(map(len, (*RIGHT, *WRONG)))
    click.echo(
        "\nreceive tests: frames that the DUT receives, under every set of receive features:"
    )
    click.echo("  valid frames, which must be delivered; for: rx-strict")
    for name, title in RIGHT.items():
        click.echo(f"    {name:<{width}} {title}")
    click.echo("  corrupt frames, which must be dropped; for: rx-blind, rx-level")
    for name, (title, _) in WRONG.items():
        click.echo(f"    {name:<{width}} {title}")


@main.command(epilog=_SELFTEST_EXAMPLES + _SELFTEST_CODES)
@click.argument("firmware", nargs=-1)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="How many seeds to try with each good firmware.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="The first seed.")
@click.option(
    "-n",
    "--parallel",
    "jobs",
    type=click.IntRange(1),
    default=4 * (os.cpu_count() or 1),
    show_default="four for each CPU",
    help="How many labs run in parallel; half of their time is waiting.",
)
@click.option(
    "--pace",
    "--rate",
    callback=_pace,
    metavar="FRAMES/S",
    default="full",
    show_default=True,
    help="Frames per second of the bursts, or full, tenth or hundredth of what a run begins with.",
)
@click.option(
    "--cells",
    type=click.IntRange(1),
    show_default="all",
    help="How many cells to try each seed of a good firmware with, drawn at random by the seed.",
)
def selftest(
    firmware: tuple[str, ...], seeds: int, seed: int, jobs: int, pace: int, cells: int | None
) -> None:
    """Test the suite itself against soft NICs with known faults: is every fault detected?

    Each FIRMWARE, or all if none is given, runs in a loopback lab of its own, which needs root.
    topologies/firmwares.md describes the firmwares.
    """
    from qualification.selftest.run import selftest as try_firmwares
    from qualification.selftest.table import HEADING, line

    missed, count = [], 0
    good: Counter[str] = Counter()
    click.echo(HEADING)
    for tried in try_firmwares(firmware, seeds, jobs, seed, pace, cells):
        result = tried.result
        count += 1
        click.echo(
            line(
                tried.model, result.verdicts, result.signatures, result.culprits, result.frames,
                result.seconds, tried.missing,
            )
        )  # fmt: skip
        missed += [tried.model] if tried.missing else []
        good.update(result.verdicts if tried.expected is None else {})
    if good:
        told = ", ".join(f"{number:,} {verdict}" for verdict, number in good.most_common())
        click.echo(f"good firmwares: {good.total():,} cells: {told}")
    if missed:
        click.echo(f"{count} tried, {len(missed)} not as expected: {', '.join(missed)}")
        sys.exit(EXIT_NOT_QUALIFIED)
    click.echo(f"{count} tried, all as expected")
