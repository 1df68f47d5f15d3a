"""The orders about the lease on a NIC, which a run takes before it begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

from qualification.agent.host import journal
from qualification.agent.host.journal import Journal, Undo
from qualification.agent.host.lease.lease import HeldLease, check_lease
from qualification.agent.serve import Context
from qualification.messages.lease import Lessee

from .undos import check_recovered

_ENDING_SECONDS = 15.0
"""How long an agent may take to put its NIC back while another already has the lease on it."""


class LeaseOperations:
    """Takes leases, and holds them until the agent ends.

    Args:
        key: Returns what identifies an interface on this host.
        undos: The functions of a journal that undo.
    """

    def __init__(self, key: Callable[[str], str], undos: Mapping[str, Undo]) -> None:
        self._key, self._undos = key, undos
        self._held: dict[str, HeldLease | None] = {}

    @property
    def table(self) -> Mapping[str, Callable[..., Any]]:
        """Returns the orders by name."""
        return {"lease": self.lease}

    def lease(self, _context: Context, *, interface: str, lessee: Lessee) -> list[str]:
        """Takes the lease on a NIC; what an agent that died had left changed is put back.

        Returns:
            A line for each change that was undone.

        Raises:
            AgentProblem: Another run has the lease, an agent without one works on the NIC, or what
                was left changed could not be put back.
        """
        key = self._key(interface)
        if key in self._held:
            return []
        # One NIC under two names: another agent of the same run has it.
        taken = None if check_lease(key, lessee) else HeldLease(key, lessee)
        try:
            left = Journal(key, self._undos, _ENDING_SECONDS)
            left.close()
            check_recovered(interface, left.recovered)
        except BaseException:
            if taken is not None:
                taken.close()
            raise
        self._held[key] = taken
        return left.recovered

    @contextmanager
    def leased(self, interface: str, lessee: Lessee | None) -> Iterator[None]:
        """Has the lease on a NIC while its body runs; that of its run, or one of its own.

        Raises:
            AgentProblem: Another run has it.
        """
        key = self._key(interface)
        if check_lease(key, lessee):
            yield
            return
        with closing(HeldLease(key, lessee or Lessee("vxqual restore", "-"))):
            yield

    def check_free(self, interface: str) -> None:
        """Checks that no other run has the lease on a NIC, and that no other agent works on it.

        Raises:
            AgentProblem: One has, or does.
        """
        key = self._key(interface)
        if key not in self._held:
            check_lease(key)
        journal.check_free(key)

    def journal(self, interface: str, lessee: Lessee | None) -> Journal:
        """Opens the journal of a NIC for an agent of a run.

        Args:
            interface: The NIC.
            lessee: The run, which may have leased it.

        Raises:
            AgentProblem: Another run has the lease, or another agent works on the NIC.
        """
        key = self._key(interface)
        ours = key in self._held or check_lease(key, lessee)
        return Journal(key, self._undos, _ENDING_SECONDS if ours else journal.PATIENCE)

    def close(self) -> None:
        """Gives every lease back."""
        for lease in self._held.values():
            if lease is not None:
                lease.close()
        self._held.clear()
