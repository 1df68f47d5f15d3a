"""The pytest plugin: its options, and the registration of the controller and of workers.

It is loaded into every pytest run of the environment, and does nothing without `--vx-topology`.
Only the controller looks at hardware and writes results (`run.controller`); workers get the
campaign as JSON, derive the same cells from it and run them (`run.worker`). Without xdist one
process does both.
"""

# Imports are in the hooks: most pytest runs of an environment are not ours and should not wait.
# ruff: noqa: PLC0415, D103

from __future__ import annotations

from pathlib import Path

import pytest

from .errors import LabError, UsageError

_CASES = Path(__file__).with_name("cases")
_NO_LAB = "vxqual's cases need a lab: give --vx-topology FILE"
MARKERS = (
    "crafted: cells of crafted packets, few frames each; -m 'not crafted' selects bulk traffic",
    "receive: cells of what the DUT receives, which are crafted, too",
)
"""What `-m` can select."""


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise ValueError(text)
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise ValueError(text)
    return value


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vxqual", "vxqual: qualify NICs for VXLAN checksum offload")
    group.addoption(
        "--vx-topology",
        metavar="FILE",
        help="the topology of the lab: its hosts and pairs, as YAML",
    )
    group.addoption(
        "--vx-plan",
        choices=("quick", "standard", "full"),
        help="the number of offload sets to test (default: standard)",
    )
    group.addoption(
        "--vx-rate",
        type=_share,
        metavar="P",
        help="the corruption rate that a PASS excludes (default: 1e-3)",
    )
    group.addoption(
        "--vx-confidence",
        type=_share,
        metavar="C",
        help="the confidence with which a PASS excludes it (default: 0.999)",
    )
    group.addoption(
        "--vx-pair",
        action="append",
        default=[],
        metavar="NAME",
        help="qualify only this pair; repeatable",
    )
    group.addoption(
        "--vx-partial-ok",
        action="store_true",
        help="exit with 0 if only a selection of the cells ran (-k, -m) and nothing failed",
    )
    group.addoption(
        "--vx-out",
        default="out",
        metavar="DIR",
        help="where each run makes a directory for its results and its log (default: out)",
    )
    group.addoption(
        "--vx-allure",
        metavar="DIR",
        help="write result files of Allure to this directory at the end of the run",
    )
    group.addoption("--vx-open", action="store_true", help="open the page of the run in a browser")
    group.addoption(
        "--vx-resume",
        nargs="?",
        const="",
        metavar="DIR",
        help="continue the run in this directory (default: the latest one of --vx-out)",
    )
    group.addoption(
        "--vx-store",
        metavar="URL",
        help="the store of runs that this one is put into at its end (default: $VXQUAL_STORE, or "
        "runs.sqlite in the directory of --vx-out)",
    )
    group.addoption(
        "--vx-wait",
        type=_seconds,
        default=0.0,
        metavar="SECONDS",
        help="how long to wait for NICs that another run has leased (default: 0)",
    )
    group.addoption("--vx-expectations", metavar="FILE", help="known failures, as YAML")
    group.addoption(
        "--vx-seed", type=int, metavar="N", help="the seed of every payload (default: a new one)"
    )
    group.addoption(
        "--vx-kernel",
        metavar="FILE",
        help="boot the guests of a QEMU lab with this bzImage or vmlinux",
    )
    group.addoption(
        "--vx-modules",
        metavar="DIR",
        help="the modules of that kernel, /lib/modules/VERSION (default: those beside it)",
    )
    group.addoption(
        "--vx-wire-check",
        action="store_true",
        help="compare each verdict with a recording of the wire, in a QEMU lab",
    )
    group.addoption(
        "--vx-symptom",
        choices=("auto", "on", "off"),
        help="measure what an application would notice (default: auto, with plan standard or full)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("vx_topology"):
        _refuse_cases(config)
        return
    from .run import worker
    from .run.output import log

    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    config.pluginmanager.register(worker, "vxqual-fixtures")
    if hasattr(config, "workerinput"):
        inputs = config.workerinput
        ours = worker.Worker.from_json(inputs["vxqual"], inputs["vxqual_kept"])
        config.pluginmanager.register(ours, "vxqual-worker")
        vars(config.option).update(inputs["vxqual_options"])
        log.configure_worker(config, inputs["workerid"], inputs["vxqual_log"])
        return
    from qualification.run.controller import Controller

    try:
        controller = Controller(config.option)
        controller.open(config)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    except LabError as error:
        pytest.exit(str(error), returncode=error.exit_code)
    config.pluginmanager.register(controller, "vxqual-controller")
    config.pluginmanager.register(worker.Worker(), "vxqual-worker")
    if hasattr(config.option, "maxworkerrestart") and config.option.maxworkerrestart is None:
        # The cells of a crashed worker would run again on a pair in an unknown state.
        config.option.maxworkerrestart = "0"


def _refuse_cases(config: pytest.Config) -> None:
    """Raises if the cases are named without a lab: they cannot even be listed."""
    for argument in config.args:
        path = Path(config.invocation_params.dir, argument.partition("::")[0]).resolve()
        if path.is_relative_to(_CASES) or argument.startswith("qualification.cases"):
            raise pytest.UsageError(_NO_LAB)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Returns the number of workers for `-n auto`; pytest calls it before pytest_configure."""
    if not config.getoption("vx_topology"):
        return None
    from qualification.run.controller import Controller

    try:
        return Controller(config.option).workers
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Raises if the cases are found below another folder, without a lab."""
    ours = metafunc.definition.path.parent == _CASES
    if ours and not metafunc.config.getoption("vx_topology"):
        raise pytest.UsageError(_NO_LAB)
