"""The pytest plugin: options, and who does what: the controller's hooks and the workers'.

Loaded into every pytest run of the environment, it does nothing without `--vx-topology`. The
controller alone looks at hardware and alone writes (`run.controller`); workers get the campaign as
JSON, come to the same cells and run them (`run.worker`). Without xdist, one process is both.
"""

# Imports stand in the hooks: most pytest runs of an environment are not ours and should not wait.
# ruff: noqa: PLC0415, D103

from __future__ import annotations

from pathlib import Path

import pytest

from .errors import UsageError

_CASES = Path(__file__).with_name("cases")
_NO_LAB = "vxqual's cases need a lab: give --vx-topology FILE"


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise ValueError(text)
    return value


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vxqual", "vxqual: qualify NICs for VXLAN checksum offload")
    group.addoption("--vx-topology", metavar="FILE", help="the lab: hosts and pairs, as YAML")
    group.addoption(
        "--vx-plan",
        choices=("quick", "standard", "full"),
        default="standard",
        help="how many offload sets (default: standard)",
    )
    group.addoption(
        "--vx-rate",
        type=_share,
        default=1e-3,
        metavar="P",
        help="corruption rate that a PASS excludes (default: 1e-3)",
    )
    group.addoption(
        "--vx-confidence",
        type=_share,
        default=0.999,
        metavar="C",
        help="with which confidence (default: 0.999)",
    )
    group.addoption(
        "--vx-pair", action="append", default=[], metavar="NAME", help="only this pair; repeatable"
    )
    group.addoption(
        "--vx-out", default="out", metavar="DIR", help="where results go (default: out)"
    )
    group.addoption("--vx-expectations", metavar="FILE", help="failures that are known, as YAML")
    group.addoption(
        "--vx-seed", type=int, metavar="N", help="seed of every payload (default: a new one)"
    )
    group.addoption(
        "--vx-symptom",
        choices=("auto", "on", "off"),
        default="auto",
        help="tell what an application would feel (default: auto, with plan standard or full)",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if not config.getoption("vx_topology"):
        _refuse_cases(config)
        return
    from .run import worker

    config.addinivalue_line("markers", "crafted: cells of crafted packet sets, few frames each")
    config.addinivalue_line("markers", "receive: of these, cells of what the DUT receives")
    config.pluginmanager.register(worker, "vxqual-fixtures")
    if hasattr(config, "workerinput"):
        campaign = worker.Worker.from_json(config.workerinput["vxqual"])
        config.pluginmanager.register(campaign, "vxqual-worker")
        return
    from qualification.run.controller import Controller

    try:
        controller = Controller(config.option)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    config.pluginmanager.register(controller, "vxqual-controller")
    config.pluginmanager.register(worker.Worker(), "vxqual-worker")
    if hasattr(config.option, "maxworkerrestart") and config.option.maxworkerrestart is None:
        # A crashed worker's cells would be run again on a pair in an unknown state.
        config.option.maxworkerrestart = "0"


def _refuse_cases(config: pytest.Config) -> None:
    """Without a lab the cases cannot even be listed."""
    for argument in config.args:
        path = Path(config.invocation_params.dir, argument.partition("::")[0]).resolve()
        if path.is_relative_to(_CASES) or argument.startswith("qualification.cases"):
            raise pytest.UsageError(_NO_LAB)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """`-n auto`: as many workers as groups of pairs can be at work. Before pytest_configure."""
    if not config.getoption("vx_topology"):
        return None
    from qualification.run.controller import Controller

    try:
        return Controller(config.option).workers
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The same where the cases are found on the way, below another folder."""
    ours = metafunc.definition.path.parent == _CASES
    if ours and not metafunc.config.getoption("vx_topology"):
        raise pytest.UsageError(_NO_LAB)
