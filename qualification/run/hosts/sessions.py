"""The session of one pair at a time; it is opened again where an agent of it went away."""

from __future__ import annotations

import contextlib
import logging
import time
import warnings
from collections.abc import Callable
from typing import TypeVar

from qualification.campaign import Campaign
from qualification.errors import AgentError, HostError, LabError
from qualification.inventory import Role
from qualification.judge.pace import PaceFound
from qualification.remote.agent_client import AgentClient
from qualification.remote.closing import close_all
from qualification.remote.host import open_host
from qualification.remote.leases import lessee
from qualification.remote.pair.session import PairSession
from qualification.remote.questions import on_all
from qualification.remote.restoring import restore
from qualification.run.ending.left_changed import LeftChanged
from qualification.run.wire_check import recorder

T = TypeVar("T")

_LOG = logging.getLogger("vxqual.run")
_LEASE_SECONDS = 10.0
"""How long an agent whose channel is gone may take to put its host back."""
_MOST_FAILURES = 3
"""Errors of the lab on one pair, after which the rest of its cells is not tried."""

_WENT_AWAY = ("died", "timeout", "no-link")
"""Kinds of errors by which an agent, its sshd or a link went away (`AgentError.kind`)."""


class Sessions:
    """Opens the session of a pair when something is to be done with it, and closes the one before.

    Args:
        campaign: The run.
        pace: Returns the pace of the bursts of a pair where it is known, else None.

    Attributes:
        campaign: The run, which `begin` replaces.
        left_changed: What was left changed on the hosts.
        first_try: How the last `use` went the first time, where it was tried once more; else "".
    """

    def __init__(self, campaign: Campaign, pace: Callable[[str], PaceFound | None]) -> None:
        self.campaign = campaign
        self.first_try = ""
        self.left_changed = LeftChanged()
        self._pace = pace
        self._session: PairSession | None = None
        self._failures: dict[str, int] = {}
        self._broken = {pair: LabError(why) for pair, why in campaign.unready.items()}

    def begin(self, campaign: Campaign) -> None:
        """Goes on with the same run and another seed."""
        self.campaign = campaign
        if self._session is not None:
            self._session.begin(campaign.seed)

    def use(self, pair: str, act: Callable[[PairSession], T]) -> T:
        """Does something with a pair, over a new session if the previous one has died.

        Where an agent, its sshd or a link goes away meanwhile, it is done once more from its
        beginning, with agents that are new: the answers of the first try are dropped, and no order
        is given twice to one agent. A pair that cannot be opened, or whose sessions keep dying, is
        not tried for every cell.

        Raises:
            LabError: It failed; after two tries, the message says how both ended.
        """
        self.first_try = ""
        forbidden = self.left_changed.forbids(pair) or self._broken.get(pair)
        if forbidden is not None:
            raise forbidden
        try:
            try:
                return act(self._open(pair))
            except LabError as error:
                if not _went_away(error) or not self._ready_again(pair, error):
                    raise
                try:
                    return act(self._open(pair))
                except LabError as second:
                    raise LabError(
                        f"{second.what}; it was tried twice, the first time: {error.what}",
                        where=second.where,
                        hint=second.hint,
                    ) from second
        except LabError as error:
            self._failed(pair, error)
            raise

    def close(self) -> None:
        """Puts the hosts of the open pair back; `left_changed` has what could not be."""
        session, self._session = self._session, None
        if session is not None:
            self.left_changed.closing(session.name, session.close)

    def end(self) -> None:
        """As `close`; then new agents put back what agents that went away may have left changed."""
        self.close()
        for pair in self.left_changed.doubtful:
            _LOG.info("pair %s: new agents look whether its hosts are as they were", pair)
            answers = restore(
                self.campaign.topology,
                [pair],
                lessee=lessee(self.campaign.run_id),
                patience=_LEASE_SECONDS,
            )
            if all(answer.as_it_was for answer in answers):
                self.left_changed.put_back(pair)
            left = [line for answer in answers for line in answer.sentences]
            if left:
                self.left_changed.is_left(pair, left)
            for answer in answers:
                for nic, lines in answer.done.items():
                    for line in lines:
                        _LOG.warning("%s: put back what an agent has left changed: %s", nic, line)

    def _ready_again(self, pair: str, error: LabError) -> bool:
        """Ends the first try; returns whether there may be a second one, with new agents."""
        self.close()
        if self.left_changed.forbids(pair):
            return False
        self.first_try = str(error)
        _LOG.warning("pair %s: it is tried once more, with new agents: %s", pair, error)
        return True

    def _failed(self, pair: str, error: LabError) -> None:
        self._failures[pair] = self._failures.get(pair, 0) + 1
        _LOG.error(
            "pair %s: error %d of at most %d: %s",
            pair, self._failures[pair], _MOST_FAILURES, error,
        )  # fmt: skip
        if self._session is None or self._failures[pair] >= _MOST_FAILURES:
            self._broken[pair] = error
            _LOG.error("pair %s: the rest of its cells is not tried", pair)
        else:
            _LOG.warning("pair %s: its next cell opens a new session", pair)
        self.close()

    def _open(self, pair: str) -> PairSession:
        """Returns the session of a pair; closes that of another pair first."""
        if self._session is not None and self._session.name != pair:
            self.close()
        if self._session is None:
            self._session = self._start(pair)
        return self._session

    def _start(self, pair: str) -> PairSession:
        topology = self.campaign.topology
        named = topology.pairs[pair]
        nics: dict[Role, str] = {"dut": named.dut, "peer": named.peer}
        hosts: dict[Role, AgentClient] = {}
        start = time.monotonic()
        with contextlib.ExitStack() as undo:
            undo.callback(self.left_changed.closing, pair, lambda: close_all(hosts.values()))

            def reach(role: Role) -> None:
                hosts[role] = open_host(topology, topology.host_of(nics[role]))

            on_all(nics, reach)
            session = PairSession(
                pair,
                self.campaign.ends(pair),
                self.campaign.flows(pair),
                hosts,
                self.campaign.demand,
                self.campaign.seed,
                {role: topology.nic(nic).allow_management for role, nic in nics.items()},
                recorder(*self.campaign.wires[pair]) if self.campaign.wires else None,
                self.campaign.fastest,
                lessee(self.campaign.run_id),
            )
            known = self._pace(pair)
            if known is not None:  # the session before has found it
                session.endpoints.orders.keep(known)
            for line in session.open():
                text = f"put back what an agent that died had left changed: {line}"
                _LOG.warning("pair %s: %s", pair, text)
                warnings.warn(text, stacklevel=2)
            undo.pop_all()
        self.left_changed.put_back(pair)
        _LOG.info("pair %s: its session is open after %.1f s", pair, time.monotonic() - start)
        return session


def _went_away(error: LabError) -> bool:
    """Returns whether an error says that an agent, its sshd or a link went away, and no other."""
    return isinstance(error, HostError) or (
        isinstance(error, AgentError) and error.kind in _WENT_AWAY
    )
