"""The orders that change the link itself: reset, MTU, VLAN."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qualification.agent.host import features, link_snapshot, links, mtu, tc_vlan, vlan_device
from qualification.agent.host.checks.our_session import carries_ssh
from qualification.agent.host.journal import Journal
from qualification.agent.serve import Context
from qualification.agent.waiting import await_condition
from qualification.messages.host import VlanOrder
from qualification.messages.protocol import AgentProblem

_SETTLING_SECONDS = 5.0
"""How long the kernel may take to check its IPv6 addresses for duplicates (RFC 4862)."""


class LinkOperations:
    """Changes the link as its users do: resets it, changes its MTU, adds a VLAN.

    Args:
        lease: Returns the interface and its journal, or raises if there is none.
    """

    def __init__(self, lease: Callable[[], tuple[str, Journal]]) -> None:
        self._lease = lease
        self._tagged: dict[str, Any] = {}
        self._where: dict[str, str] = {}

    @property
    def table(self) -> Mapping[str, Callable[..., Any]]:
        """Returns the orders by name."""
        return {
            "flap": self.flap,
            "change_mtu": self.change_mtu,
            "tag": self.tag,
            "untag": self.untag,
        }

    def flap(self, context: Context) -> None:
        """Sets the link down and up, and restores what the host lost by that.

        Raises:
            AgentProblem: The link carries our own session, or the host cannot be restored.
        """
        interface, journal = self._not_ours("its link is not taken down", "reset")
        self._bring_up(interface, context)
        numbers, there = link_snapshot.record(interface)
        journal.about_to("link-snapshot", interface=interface, numbers=numbers, there=there)
        journal.about_to("link", interface=interface, up=True)
        links.set_up(interface, False)
        links.set_up(interface, True)
        links.await_carrier(interface, context.stop.is_set)
        link_snapshot.put_back(interface, numbers, there)
        await_condition(link_snapshot.settled(interface), _SETTLING_SECONDS, context.stop.is_set)
        journal.undone(2)

    def change_mtu(self, context: Context) -> None:
        """Raises the MTU and restores it, with everything that follows it.

        Raises:
            AgentProblem: The link carries our own session, the NIC allows no larger MTU, or the
                host cannot be restored.
        """
        interface, journal = self._not_ours("its MTU is not changed", "mtu")
        self._bring_up(interface, context)
        numbers, there = link_snapshot.record(interface)
        before = mtu.record(numbers)
        journal.about_to("link-snapshot", interface=interface, numbers=numbers, there=there)
        journal.about_to("mtu", interface=interface, before=before)
        mtu.change(interface, mtu.larger(interface), there)
        links.await_carrier(interface, context.stop.is_set)
        mtu.put_back(interface, before)
        links.await_carrier(interface, context.stop.is_set)
        link_snapshot.put_back(interface, numbers, there)
        await_condition(link_snapshot.settled(interface), _SETTLING_SECONDS, context.stop.is_set)
        journal.undone(2)

    def tag(self, _context: Context, *, vlan: VlanOrder) -> None:
        """Makes a VLAN device on the NIC, with underlay addresses of its own."""
        interface, journal = self._lease()
        vlan_device.check(interface, vlan)
        undo = {
            "interface": interface,
            "name": vlan.name,
            "addresses": list(vlan.addresses),
            "neighbours": list(vlan.neighbours),
            "clsact": tc_vlan.has_clsact(interface),
        }
        if undo != self._tagged:  # one entry undoes it, even if it is made several times
            taken = features.taken_by_upper(interface)
            if taken:  # undone in reverse order: once the device is gone
                journal.about_to("features", interface=interface, wanted=taken)
            journal.about_to("vlan", **undo)
            self._tagged = undo
        self._where[vlan.name] = vlan_device.make(interface, vlan)

    def untag(self, _context: Context) -> None:
        """Removes that device, as far as it was made."""
        if self._tagged:
            vlan_device.remove(**self._tagged)

    def where(self, link: str) -> str:
        """Returns the interface that carries the addresses of a link; see `vlan_device.make`."""
        return self._where.get(link, link)

    @staticmethod
    def _bring_up(interface: str, context: Context) -> None:
        """Sets the link up if somebody has taken it down: it would be recorded as down."""
        if not links.is_up(interface):
            links.set_up(interface, True)
            links.await_carrier(interface, context.stop.is_set)

    def _not_ours(self, what: str, state: str) -> tuple[str, Journal]:
        """Returns the lease, unless the link carries our own session."""
        interface, journal = self._lease()
        if carries_ssh(interface) is not None:
            raise AgentProblem(
                "management-interface",
                f"{interface} carries our own SSH session: {what}",
                hint=f"leave the state out: -k 'not {state}'",
            )
        return interface, journal
