"""The workers of a run at their end: each puts its hosts back, and says what stays changed."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from typing import TYPE_CHECKING, Protocol

import pytest

from .left_changed import KEY, LeftChanged

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

_LOG = logging.getLogger("vxqual.run")
_SECONDS = 90.0
"""How long workers may take to put their hosts back: each of two agents has a minute at most."""


class PutsBack(Protocol):
    """What runs the cells of a process, and puts its hosts back when it is closed."""

    left_changed: LeftChanged

    def close(self) -> None:
        """Puts them back."""


RUNNER = pytest.StashKey[PutsBack]()
"""On the config of a process that runs cells."""

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def put_hosts_back(config: pytest.Config) -> list[str]:
    """Puts the hosts of this process back; returns what they are left changed by, for the user.

    A second Ctrl-C does not hinder it: all of it has a time limit.
    """
    runner = config.stash.get(RUNNER, None)
    if runner is None:
        return []
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _ENDING}
    try:
        runner.close()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return runner.left_changed.tell(last=True)


class Workers:
    """The workers of a run, as pytest hooks; there are none where one process does all."""

    def __init__(self) -> None:
        self._nodes: list[WorkerController] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: WorkerController) -> None:
        """Takes a worker that is about to start."""
        self._nodes.append(node)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodeready(self, node: WorkerController) -> None:
        """Logs that a worker is ready."""
        _LOG.info("worker %s is ready", node.gateway.id)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: WorkerController, error: object) -> None:
        """Logs that a worker has ended or crashed."""
        if error:
            _LOG.error("worker %s has ended: %s", node.gateway.id, error)
        else:
            _LOG.info("worker %s has ended", node.gateway.id)

    def end(self, config: pytest.Config, exitstatus: int) -> list[str]:
        """Returns what this process and the workers leave changed on hosts.

        It waits for them if the run was ended: xdist would kill them after ten seconds.
        """
        if exitstatus == pytest.ExitCode.INTERRUPTED:
            self._interrupt()
        told = put_hosts_back(config)
        for node in self._nodes:
            output = getattr(node, "workeroutput", None)
            told += (output or {}).get(KEY, ())
        return told

    def _interrupt(self) -> None:
        for node in self._running():
            # Ctrl-C reaches all of them, SIGTERM this process alone.
            with contextlib.suppress(Exception):
                os.kill(node.gateway._rinfo().pid, signal.SIGINT)
        end = time.monotonic() + _SECONDS
        with contextlib.suppress(KeyboardInterrupt):  # the user waits no longer
            while self._running() and time.monotonic() < end:
                time.sleep(0.05)

    def _running(self) -> list[WorkerController]:
        return [node for node in self._nodes if not getattr(node, "_down", True)]
