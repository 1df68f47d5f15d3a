"""Commands that use a lab: run, check, restore and plan."""
# ruff: noqa: PLC0415

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from .root import (
    EXIT_CODES,
    USAGE,
    codes,
    confidence_option,
    examples,
    expectations_option,
    main,
    pair_option,
    partial_option,
    plan_option,
    rate_option,
    run_store_option,
)
from .topology_argument import TopologyCommand

if TYPE_CHECKING:
    from qualification.plan.cells import PlanName

_RUN_EXAMPLES = examples("""\
vxqual run my-lab.yaml                              every pair, the standard plan
vxqual run my-lab.yaml --plan quick --pair x710     one pair, fewer offload sets
vxqual run my-lab.yaml -k all-on -v                 only some cells, a line for each
vxqual run my-lab.yaml --junitxml=junit.xml         a report for CI
vxqual run my-lab.yaml --wait 3600                  after the run that uses the NICs now, if any
vxqual run --resume                                 go on where the latest run in out ended""")
_CHECK_EXAMPLES = examples("""\
vxqual check my-lab.yaml                 every host, NIC and pair
vxqual check my-lab.yaml --pair x710     only those of one pair""")
_PLAN_EXAMPLES = examples("""\
vxqual plan my-lab.yaml                          how many cells, and how long
vxqual plan my-lab.yaml --plan quick --cells     the id of every cell, for `run -k`""")
_CHECK_CODES = codes(
    c0="ready", c4=USAGE, c10="not ready; each problem is printed with the next step"
)
_RESTORE_EXAMPLES = examples("""\
vxqual restore my-lab.yaml                 every host of every pair
vxqual restore my-lab.yaml --pair x710     only those of one pair""")
_RESTORE_CODES = codes(
    c0="every host is as it was before the first run",
    c4=USAGE,
    c10="a host is still changed, is in use, or cannot be reached; each is named",
)
_PLAN_CODES = codes(c0="the plan is printed", c4=USAGE, c10="a host cannot be asked for its NICs")


@main.command(cls=TopologyCommand, passes_on=True, epilog=_RUN_EXAMPLES + EXIT_CODES)
@pair_option
@plan_option
@rate_option
@confidence_option
@click.option(
    "--seed", type=int, metavar="N", help="The seed of every payload; a new one by default."
)
@click.option(
    "--symptom/--no-symptom",
    default=None,
    help="Measure what an application would notice.  [default: with plan standard or full]",
)
@click.option(
    "--out",
    default="out",
    show_default=True,
    metavar="DIR",
    help="Where each run makes a directory of its own; DIR/latest is the last one.",
)
@click.option(
    "--resume",
    is_flag=False,
    flag_value="",
    metavar="[DIR]",
    help="Continue the run in this directory, by default the latest in that of --out.",
)
@click.option(
    "--open",
    "opened",
    is_flag=True,
    help="Open the page of the run in a browser, where it follows the run.",
)
@click.option(
    "--allure",
    type=click.Path(file_okay=False),
    metavar="DIR",
    help="Write result files of Allure to this directory, as `vxqual report --allure` does later.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=0,
    metavar="SECONDS",
    help="Wait so long for NICs that another run has leased; without it, stop at once.",
)
@click.option(
    "-n",
    "--parallel",
    default="auto",
    show_default=True,
    metavar="N",
    help="How many pairs run in parallel; pairs that share a NIC never do. auto: all that can, in "
    "the loopback lab two for each CPU.",
)
@run_store_option
@partial_option
@expectations_option
@click.pass_context
def run(
    ctx: click.Context,
    topology: str | None,
    pair: tuple[str, ...],
    plan: str,
    rate: float,
    confidence: float,
    seed: int | None,
    symptom: bool | None,
    out: str,
    resume: str | None,
    opened: bool,
    allure: str | None,
    wait: float,
    parallel: str,
    store: str | None,
    partial_ok: bool,
    expectations: str | None,
) -> None:
    """Qualify every pair of a topology and print the matrix.

    The matrix is also a page, matrix.html in the directory of the run, which can be opened from its
    first cell on and follows the run.

    With --resume, a run that was interrupted, or had errors of the lab, goes on: cells that have a
    result are kept, and the controls are run again. It takes the topology and all options from
    that run; those that are given must be the same.

    The run is a pytest session, and further options are those of pytest, such as --junitxml=FILE,
    --alluredir=DIR and:

    \b
      -k 'all-on and tcp'   only cells whose id matches; the run is PARTIAL then, see --partial-ok
      -m 'not crafted'      only bulk traffic; -m crafted: only crafted packets
      -m receive            only the receive tests; -m 'not receive': all others
      -v                    a line for each cell, and the matrix of every pair
      -vv                   also the log of what is done, -vvv with every detail; the log of
                            pairs that run in parallel is only in the file
      --log-file=FILE       write the log to FILE, not to vxqual.log in its directory
    """  # noqa: D301  (\b is a backspace, by which click keeps the lines)
    import pytest

    from qualification import cases
    from qualification.run.unknown_option import UnknownOption

    chosen = [f"--vx-pair={name}" for name in pair]
    chosen += ["--vx-partial-ok"] if partial_ok else []
    chosen += ["--vx-open"] if opened else []
    chosen += [f"--vx-allure={allure}"] if allure is not None else []
    chosen += [f"--vx-wait={wait:g}"] if wait else []
    chosen += [f"--vx-seed={seed}"] if seed is not None else []
    chosen += [f"--vx-expectations={expectations}"] if expectations is not None else []
    chosen += [f"--vx-store={store}"] if store is not None else []
    chosen += [f"--vx-symptom={'on' if symptom else 'off'}"] if symptom is not None else []
    if resume is not None:
        from qualification.results import run_directory

        campaign = run_directory.read_asked(Path(resume or out)).campaign
        topology, pair = topology or campaign.source, campaign.pairs
        chosen.append(f"--vx-resume={resume}")
    assert topology is not None
    asked = {"plan": plan, "rate": rate, "confidence": confidence}
    chosen += [
        f"--vx-{name}={value}"
        for name, value in asked.items()
        if resume is None or ctx.get_parameter_source(name) is not ParameterSource.DEFAULT
    ]
    ctx.exit(
        int(
            pytest.main(
                [
                    str(Path(cases.__file__).parent),
                    f"--vx-topology={topology}",
                    f"--vx-out={out}",
                    f"--numprocesses={_workers(topology, pair, parallel)}",
                    *chosen,
                    *ctx.args,
                ],
                plugins=[UnknownOption([name for one in ctx.command.params for name in one.opts])],
            )
        )
    )


def _workers(topology: str, pairs: tuple[str, ...], wanted: str) -> str:
    """Returns the number of workers; a single group of pairs starts faster without any."""
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


@main.command(cls=TopologyCommand, epilog=_CHECK_EXAMPLES + _CHECK_CODES)
@pair_option
def check(topology: str, pair: tuple[str, ...]) -> None:
    """Check whether a lab is ready. Changes nothing on its hosts.

    The agent is stored in the cache of the login user on each host, as a run would do, too.
    """
    from qualification.run.prepare import check_lab

    sys.exit(check_lab(topology, list(pair), click.echo))


@main.command(cls=TopologyCommand, epilog=_RESTORE_EXAMPLES + _RESTORE_CODES)
@pair_option
def restore(topology: str, pair: tuple[str, ...]) -> None:
    """Put back what runs have left changed on hosts, and say what that was.

    A run does that by itself at its end, and at the beginning for what an agent that was killed has
    left. This is for a host that a run has called left changed: the changes that its journal
    still has are undone, and the NIC's link, MTU, features, rings, channels and coalescing are set
    to what they were before. A NIC that another vxqual is using is not touched.
    """
    from qualification.run.hosts.restore import restore_hosts

    sys.exit(restore_hosts(topology, list(pair), click.echo))


@main.command(cls=TopologyCommand, epilog=_PLAN_EXAMPLES + _PLAN_CODES)
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
    """Print what would run: the cells, their number and the estimated time. Sends nothing."""
    from qualification.run.prepare import show_plan

    show_plan(topology, list(pair), plan, rate, confidence, cells, click.echo)
