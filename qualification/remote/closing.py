"""Ends agents, and says of each host whether it is as it was: no other error hides that."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import ExitStack

from qualification.errors import HostLeftChangedError, LabError
from qualification.messages.closing import ORDER_NOT_ENDED, left_changed, not_ended

from .agent_client import AgentClient

_log = logging.getLogger("vxqual.agent")

RESTORE_HINT = "put it back with: vxqual restore TOPOLOGY"


def close_all(agents: Iterable[AgentClient]) -> None:
    """Has every agent restore its host and end, also when some of them fail.

    Raises:
        HostLeftChangedError: A host is left changed, or nobody knows whether it is.
    """
    certain: list[str] = []
    doubtful: list[str] = []

    def end(agent: AgentClient) -> None:
        try:
            report = agent.close()
        except LabError as error:
            doubtful.append(_may_be(agent.host, error.what))
            return
        if not isinstance(report, list):
            doubtful.append(_may_be(agent.host, "its agent ended without a closing report"))
            return
        certain.extend(_is(agent.host, report))
        for line in not_ended(report):
            _log.warning("%s: the agent %s", agent.host, line)
            if line.startswith(ORDER_NOT_ENDED):
                doubtful.append(_may_be(agent.host, f"its agent {line}"))

    with ExitStack() as stack:  # an interrupt while one is ended does not keep the others running
        for agent in agents:
            stack.callback(end, agent)
    for line in certain + doubtful:
        _log.error("%s", line)
    if certain or doubtful:
        lines = "\n".join(certain + doubtful)
        raise HostLeftChangedError(lines, hint=RESTORE_HINT, certain=bool(certain))


def refuse_changes(host: str, report: Iterable[object]) -> None:
    """Raises a `HostLeftChangedError` if a report says that its host is left changed."""
    lines = _is(host, report)
    if lines:
        raise HostLeftChangedError("\n".join(lines), hint=RESTORE_HINT, certain=True)


def _is(host: str, report: Iterable[object]) -> list[str]:
    return [f"host {host} is left changed: {line}" for line in left_changed(report)]


def _may_be(host: str, why: str) -> str:
    return f"host {host} may be left changed: {why}"
