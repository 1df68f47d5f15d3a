"""The log of a run, `vxqual.log` in its directory, by pytest's own logging options.

Every record of the logger "vxqual" goes there, from the controller and from all workers, so that a
run that failed elsewhere can be explained from this file alone. `--log-file` names another file.
Each process opens it for appending (O_APPEND) and writes a record by one write(2), so the records
of several processes do not overwrite or split each other.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import platform
import re
import shlex
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from qualification import __version__
from qualification.campaign import Campaign
from qualification.errors import UsageError
from qualification.judge.verdict import Demand
from qualification.printable import printable
from qualification.topology import Topology

NAME = "vxqual.log"
_LOG = logging.getLogger("vxqual.run")
_TERMINAL = {2: "INFO", 3: "DEBUG"}
"""What the terminal shows by the number of `-v`; a single one is pytest's line for each cell."""
_FOREIGN = ("paramiko", "pyroute2", "asyncio")
"""Loggers of libraries whose debug records would bury those of vxqual."""


def configure(config: pytest.Config, directory: Path | None) -> None:
    """Sets pytest's logging options for the controller, unless the user has set them.

    Args:
        config: The configuration of pytest, before its logging plugin reads it.
        directory: The directory of the run, which exists; None where nothing runs.

    Raises:
        UsageError: The log cannot be written.
    """
    if not hasattr(config.option, "log_file"):  # -p no:logging
        return
    _set_levels()
    levels = [level for count, level in _TERMINAL.items() if config.option.verbose >= count]
    if levels:
        _default(config, "log_cli_level", levels[-1])
        _default(config, "log_cli_format", "%(asctime)s %(levelname)s %(name)s: %(message)s")
    keep = config.option.log_file_mode == "a"
    if directory is None:
        return
    _default(config, "log_file", str((directory / NAME).absolute()))
    path = _set_format(config, "main")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600))
        if path.is_file() and path.parent != directory.absolute() and not keep:
            os.truncate(path, 0)
    except OSError as error:
        raise UsageError(
            f"the log cannot be written to {path}: {error.strerror}",
            hint="give --log-file a file that you can write to",
        ) from None


def configure_worker(config: pytest.Config, worker: str, file: str | None) -> None:
    """Sets pytest's logging options for a worker of xdist: it appends to the controller's log.

    Args:
        config: The configuration of pytest, before its logging plugin reads it.
        worker: The name of the worker, such as "gw0", for its records.
        file: The controller's log; None if it has none.
    """
    if file is not None:
        config.option.log_file = file
        _set_levels()
        _set_format(config, worker)


def _set_levels() -> None:
    for name in _FOREIGN:
        logging.getLogger(name).setLevel(logging.INFO)


def _set_format(config: pytest.Config, process: str) -> Path:
    """Sets the options of the log file, and returns the file."""
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


class _Patient(io.TextIOBase):
    """A file that is appended to by a write(2) for each text; what finds no space is left out.

    Python's own file keeps such a text, and raises when it is closed.
    """

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def write(self, text: str) -> int:
        """Appends a text."""
        with contextlib.suppress(OSError):
            os.write(self._file, text.encode("utf-8", "backslashreplace"))
        return len(text)

    def close(self) -> None:
        """Closes the file; a second call does nothing."""
        if not self.closed:
            os.close(self._file)
        super().close()


class _Inert(logging.Filter):
    """Escapes what is not printable in a record; no text in it can begin another record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Changes the record, and lets it pass; a second time changes nothing."""
        text = printable(record.getMessage(), lines=True)
        record.msg, record.args = re.sub(r"\n(?!    )", "\n    ", text), ()
        return True


def endure(config: pytest.Config) -> None:
    """Makes the log one that a full disk shortens, and that does not end the run.

    It also escapes what hosts have said, there and on the terminal.
    """
    plugin = config.pluginmanager.get_plugin("logging-plugin")
    handler = getattr(plugin, "log_file_handler", None)
    for each in (handler, getattr(plugin, "log_cli_handler", None)):
        if isinstance(each, logging.Handler):
            each.addFilter(_Inert())
    if isinstance(handler, logging.FileHandler) and getattr(config.option, "log_file", None):
        before = handler.setStream(cast("Any", _Patient(handler.baseFilename)))
        if before is not None:
            before.close()


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
