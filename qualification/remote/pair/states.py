"""What the hosts of a pair are put through, so that a flow can be sent after it or in it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from qualification.errors import LabError
from qualification.inventory import Role
from qualification.plan.extra_flows import tagged_flows
from qualification.plan.flows import Flow, State, crafted_flows, second_port

from .orders import device_name
from .vlan import vlan_order

if TYPE_CHECKING:
    from .session import PairSession


class States:
    """The states of one pair's session.

    Args:
        pair: The session.

    Attributes:
        first: Flows whose tunnels are there from the beginning.
        now: What the DUT has been through since its tunnels were made.
    """

    def __init__(self, pair: PairSession) -> None:
        self._pair = pair
        self.now: State = ""
        self._second = tuple(replace(flow, port=second_port(flow.port)) for flow in pair.flows)
        ends = pair.ends
        outer_target = (f for f in crafted_flows(ends.families, ends.port) if f.outer_target)
        self.first = (*pair.flows, *outer_target)
        vlan = ends.vlan is not None
        self._tagged = tagged_flows(ends.families, ends.port, ["kernel"], every=True) * vlan
        self._is_tagged = False

    @property
    def vnis(self) -> frozenset[int]:
        """Those of every tunnel."""
        return frozenset(flow.vni for flow in (*self.first, *self._second, *self._tagged))

    def enter(self, flow: Flow) -> None:
        """Puts the DUT through what a flow is to come after, unless it has been through it.

        After something else it gets new tunnels first, which is all of its state that can be.
        """
        self.tag(bool(flow.vlan))
        if flow.state == self.now:
            return
        if self.now:
            self._renew()
        if flow.state == "two-ports":
            self._use_second_port()
        elif flow.state:
            self._pair.call("dut", "flap" if flow.state == "reset" else "change_mtu")
            self._pair.request_again()
        self.now = flow.state

    def _renew(self) -> None:
        """Takes every tunnel away and makes the first ones again."""
        self._drop((*self.first, *self._second))
        self._pair.make_tunnels(self.first)
        self.now = ""

    def _drop(self, flows: tuple[Flow, ...]) -> None:
        names = sorted({device_name(flow.vni) for flow in flows})
        self._pair.on_both(lambda role: self._pair.call(role, "drop_tunnels", names=names))

    def tag(self, wanted: bool) -> None:
        """Has the tagged underlay and its tunnels there, or not there.

        A NIC may treat all frames otherwise while it has a VLAN; so it is there for its own only.
        """
        if wanted == self._is_tagged:
            return
        pair = self._pair
        if not wanted:
            self._drop(self._tagged)
            pair.on_both(lambda role: pair.call(role, "untag"))
        else:

            def tag(role: Role) -> None:
                pair.call(role, "tag", vlan=vlan_order(pair.ends, role))

            pair.on_both(tag)
            pair.make_tunnels(self._tagged)
        self._is_tagged = wanted

    def _use_second_port(self) -> None:
        """Makes a tunnel on another port beside each, and sends through it, so that it is known."""
        pair = self._pair
        try:
            pair.make_tunnels(self._second)
        except LabError as error:
            raise LabError(
                f"there can be no second tunnel: {error.what}",
                where=pair.name,
                hint="leave it out: -k 'not two-ports'",
            ) from error
        for flow in {flow.vni: flow for flow in self._second}.values():
            used = replace(flow, l4="udp", segmentation=False, packet_set="lengths")
            if not pair.burst(partial(pair.orders.packet_set, used)).sent.submitted.frames:
                raise LabError("nothing was sent through the second tunnel", where=pair.name)
