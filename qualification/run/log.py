"""The log of a run, `OUT/vxqual.log`, by pytest's own logging options.

Every record of the logger "vxqual" goes there, from the controller and from all workers, so that a
run that failed elsewhere can be explained from this file alone. `--log-file` names another file.
Each process opens it for appending (O_APPEND) and writes a record by one write(2), so the records
of several processes do not overwrite or split each other.
"""

from __future__ import annotations

import logging
import os
import platform
import shlex
import sys
from pathlib import Path

import pytest

from qualification import __version__
from qualification.campaign import Campaign
from qualification.errors import UsageError
from qualification.judge.verdict import Demand
from qualification.topology import Topology

NAME = "vxqual.log"
_LOG = logging.getLogger("vxqual.run")
_TERMINAL = {2: "INFO", 3: "DEBUG"}
"""What the terminal shows by the number of `-v`; a single one is pytest's line for each cell."""
_FOREIGN = ("paramiko", "pyroute2", "asyncio")
"""Loggers of libraries whose debug records would bury those of vxqual."""


def configure(config: pytest.Config) -> None:
    """Sets pytest's logging options for the controller, unless the user has set them.

    Args:
        config: The configuration of pytest, before its logging plugin reads it. The directory of
            results exists.

    Raises:
        UsageError: The log cannot be written.
    """
    if not hasattr(config.option, "log_file"):  # -p no:logging
        return
    levels = [level for count, level in _TERMINAL.items() if config.option.verbose >= count]
    if levels:
        _default(config, "log_cli_level", levels[-1])
        _default(config, "log_cli_format", "%(asctime)s %(levelname)s %(name)s: %(message)s")
    keep = config.option.log_file_mode == "a"
    path = _set_file(config, "main")
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8"):
            if path.is_file() and not keep:
                os.truncate(path, 0)
    except OSError as error:
        raise UsageError(
            f"the log cannot be written to {path}: {error.strerror}",
            hint="give --log-file a file that you can write to",
        ) from None


def configure_worker(config: pytest.Config, worker: str) -> None:
    """Sets pytest's logging options for a worker of xdist: it appends to the controller's log.

    Args:
        config: The configuration of pytest, before its logging plugin reads it.
        worker: The name of the worker, such as "gw0", for its records.
    """
    if hasattr(config.option, "log_file"):
        _set_file(config, worker)


def _set_file(config: pytest.Config, process: str) -> Path | None:
    """Sets the options of the log file; returns the file, or None for no file."""
    for name in _FOREIGN:
        logging.getLogger(name).setLevel(logging.INFO)
    if config.option.collectonly:
        return None
    _default(config, "log_file", str((Path(config.option.vx_out) / NAME).absolute()))
    _default(config, "log_file_level", "DEBUG")
    _default(
        config,
        "log_file_format",
        f"%(asctime)s {process:<4} %(levelname)-7s %(name)s: %(message)s",
    )
    _default(config, "log_file_date_format", "%Y-%m-%d %H:%M:%S.%f%z")
    # A test's report, which Allure shows, has its evidence; the log would be a second copy.
    _default(config, "log_level", "CRITICAL")
    config.option.log_file_mode = "a"
    return Path(config.option.log_file or config.getini("log_file"))


def discard(out: Path) -> None:
    """Removes the log from a directory of results: what was asked for turned out to be no run."""
    (out / NAME).unlink(missing_ok=True)


def _default(config: pytest.Config, name: str, value: str) -> None:
    """Sets an option that is set neither on the command line nor in an ini file."""
    without_default = name in ("log_file", "log_file_level", "log_cli_level", "log_level")
    if getattr(config.option, name) is None and not (without_default and config.getini(name)):
        setattr(config.option, name, value)


def log_start(topology: Topology, source: str, pairs: tuple[str, ...], demand: Demand) -> None:
    """Logs how the run was started and what it is to do, before anything is touched."""
    machine = platform.uname()
    _LOG.info(
        "vxqual %s starts as process %d of uid %d on %s, Linux %s, %s; Python %s, pytest %s",
        __version__, os.getpid(), os.geteuid(), machine.node, machine.release, machine.machine,
        platform.python_version(), pytest.__version__,
    )  # fmt: skip
    _LOG.info("command line: %s", shlex.join(sys.argv))
    _LOG.info("directory: %s", Path.cwd())
    kind = "real hosts" if topology.lab is None else f"lab {topology.lab.kind}"
    _LOG.info("topology %s: %s, pairs %s", source, kind, ", ".join(pairs))
    _LOG.info("a PASS excludes a rate of %g with confidence %g", demand.rate, demand.confidence)


def log_campaign(campaign: Campaign) -> None:
    """Logs the run: its id, its seed and what its NICs are."""
    _LOG.info("run %s, plan %s, seed %d", campaign.run_id, campaign.plan, campaign.seed)
    for pair in campaign.pairs:
        ends = campaign.ends(pair)
        for role, nic in (("DUT", ends.dut), ("peer", ends.peer)):
            _LOG.info(
                "pair %s, %s %s: %s, driver %s %s, firmware %s, MTU %d, bus %s; host %s: %s, "
                "Linux %s, Python %s, frames judged by %s",
                pair, role, nic.name, nic.facts.interface, nic.driver,
                nic.facts.driver_version or "without version", nic.firmware, nic.facts.mtu,
                nic.facts.bus or "unknown", nic.host.hostname, nic.host.os, nic.host.kernel,
                nic.host.python, nic.host.verifier or "unknown",
            )  # fmt: skip
