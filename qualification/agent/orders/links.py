"""The orders that do something to the link itself; the rest of an agent's are in `operations`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from qualification.agent.host import link_snapshot, links, mtu, tc_vlan, vlan_device
from qualification.agent.host.journal import Journal, Undo
from qualification.agent.orders.serve import Context
from qualification.agent.waiting import await_condition
from qualification.messages.host import VlanOrder
from qualification.messages.protocol import AgentProblem

_SETTLING_SECONDS = 5.0
"""For the kernel to find out that nobody else has an IPv6 address."""

UNDOS: Mapping[str, Undo] = {
    "link": links.set_up,
    "kept": link_snapshot.put_back,
    "vlan": vlan_device.remove,
    "mtu": mtu.put_back,
}


class LinkOperations:
    """Puts the link through what users put theirs through.

    Args:
        lease: Gives the interface and its journal, or raises if there is none.
    """

    def __init__(self, lease: Callable[[], tuple[str, Journal]]) -> None:
        self._lease = lease
        self._tagged: dict[str, Any] = {}
        self._where: dict[str, str] = {}

    @property
    def table(self) -> Mapping[str, Callable[..., Any]]:
        """The orders by name."""
        return {
            "flap": self.flap,
            "change_mtu": self.change_mtu,
            "tag": self.tag,
            "untag": self.untag,
        }

    def flap(self, context: Context) -> None:
        """Takes the link down and up, and gives the host back what it lost by that.

        Raises:
            AgentProblem: It is the link of our own session, or the host would not be as it was.
        """
        interface, journal = self._not_ours("its link is not taken down", "reset")
        numbers, there = link_snapshot.record(interface)
        journal.about_to("kept", interface=interface, numbers=numbers, there=there)
        journal.about_to("link", interface=interface, up=True)
        links.set_up(interface, False)
        links.set_up(interface, True)
        links.await_carrier(interface, context.stop.is_set)
        link_snapshot.put_back(interface, numbers, there)
        await_condition(link_snapshot.settled(interface), _SETTLING_SECONDS, context.stop.is_set)
        journal.undone(2)

    def change_mtu(self, context: Context) -> None:
        """Raises the MTU and puts it back, and everything with it.

        Raises:
            AgentProblem: It is the link of our own session, the NIC allows no larger MTU, or the
                host would not be as it was.
        """
        interface, journal = self._not_ours("its MTU is not changed", "mtu")
        numbers, there = link_snapshot.record(interface)
        before = mtu.record(numbers)
        journal.about_to("kept", interface=interface, numbers=numbers, there=there)
        journal.about_to("mtu", interface=interface, before=before)
        mtu.change(interface, mtu.larger(interface), there)
        links.await_carrier(interface, context.stop.is_set)
        mtu.put_back(interface, before)
        links.await_carrier(interface, context.stop.is_set)
        link_snapshot.put_back(interface, numbers, there)
        await_condition(link_snapshot.settled(interface), _SETTLING_SECONDS, context.stop.is_set)
        journal.undone(2)

    def tag(self, _context: Context, *, vlan: dict[str, Any]) -> None:
        """Makes a VLAN device on the NIC, with underlay addresses of its own."""
        interface, journal = self._lease()
        order = VlanOrder(**vlan)
        vlan_device.check(interface, order)
        undo = {
            "interface": interface,
            "name": order.name,
            "addresses": list(order.addresses),
            "neighbours": list(order.neighbours),
            "clsact": tc_vlan.has_clsact(interface),
        }
        if undo != self._tagged:  # one entry undoes it, however often it is made again
            journal.about_to("vlan", **undo)
            self._tagged = undo
        self._where[order.name] = vlan_device.make(interface, order)

    def untag(self, _context: Context) -> None:
        """Takes that device away again."""
        vlan_device.remove(**self._tagged)

    def where(self, link: str) -> str:
        """The interface on which what is to begin on a link begins: see `vlan_device.make`."""
        return self._where.get(link, link)

    def _not_ours(self, what: str, state: str) -> tuple[str, Journal]:
        """The lease, if the link may be disturbed."""
        interface, journal = self._lease()
        if links.carries_ssh(interface) is not None:
            raise AgentProblem(
                "management-interface",
                f"{interface} carries our own session: {what}",
                hint=f"leave it alone: -k 'not {state}'",
            )
        return interface, journal
