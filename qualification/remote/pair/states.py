"""Brings a pair's DUT into the state that a flow is sent in: tunnels, VLAN, reset, MTU change."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import partial

from qualification.errors import LabError
from qualification.inventory import Ends, Role
from qualification.plan.extra_flows import tagged_flows
from qualification.plan.flows import Flow, State, crafted_flows, second_port

from .addresses import device_name
from .endpoints import Endpoints
from .offloads import Offloads
from .tunnel_orders import tunnel_orders
from .vlan import vlan_order

_log = logging.getLogger("vxqual.pair")


@dataclass(frozen=True)
class TunnelFlows:
    """The flows of a pair whose tunnels are made together.

    Attributes:
        first: Flows whose tunnels exist from the beginning.
        second: The same flows through a second tunnel, on another UDP port.
        tagged: Flows whose tunnels are on the tagged underlay.
    """

    first: tuple[Flow, ...]
    second: tuple[Flow, ...]
    tagged: tuple[Flow, ...]

    @classmethod
    def of(cls, ends: Ends, flows: tuple[Flow, ...]) -> TunnelFlows:
        """Returns those of a pair.

        Args:
            ends: The pair's NICs.
            flows: Its ordinary flows.
        """
        outer_target = (f for f in crafted_flows(ends.families, ends.port) if f.outer_target)
        vlan = ends.vlan is not None
        return cls(
            first=(*flows, *outer_target),
            second=tuple(replace(flow, port=second_port(flow.port)) for flow in flows),
            tagged=tagged_flows(ends.families, ends.port, ["kernel"], every=True) * vlan,
        )

    @property
    def vnis(self) -> tuple[int, ...]:
        """The VNIs of all tunnels, in ascending order."""
        return tuple(sorted({flow.vni for flow in (*self.first, *self.second, *self.tagged)}))


class States:
    """The state of one pair's DUT.

    Args:
        endpoints: The pair.
        offloads: The DUT's offload set, which is requested again after a link reset.
        flows: The flows whose tunnels are made.

    Attributes:
        now: What the DUT has been put through since its tunnels were made.
    """

    def __init__(self, endpoints: Endpoints, offloads: Offloads, flows: TunnelFlows) -> None:
        self.now: State = ""
        self._endpoints = endpoints
        self._offloads = offloads
        self._flows = flows
        self._is_tagged = False

    def make_first_tunnels(self) -> None:
        """Makes the tunnels that exist from the beginning, at both ends."""
        self._make(self._flows.first)

    def enter(self, flow: Flow) -> None:
        """Brings the DUT into a flow's state, unless it is in it.

        From any state but the initial one, the tunnels are made anew first: they are the part of
        the DUT's state that can be renewed.
        """
        self.tag(bool(flow.vlan))
        if flow.state == self.now:
            return
        _log.info("%s: state of the DUT: %s", self._endpoints.name, flow.state or "initial")
        if self.now:
            self._renew()
        if flow.state == "two-ports":
            self._use_second_port()
        elif flow.state:
            self._endpoints.call("dut", "flap" if flow.state == "reset" else "change_mtu")
            self._offloads.request_again()
        self.now = flow.state

    def tag(self, wanted: bool) -> None:
        """Makes the tagged underlay and its tunnels, or removes them.

        They exist only while tagged flows are sent, as a NIC may treat all frames differently
        while it has a VLAN.
        """
        if wanted == self._is_tagged:
            return
        ends = self._endpoints
        if not wanted:
            self._drop(self._flows.tagged)
            ends.on_both(lambda role: ends.call(role, "untag"))
        else:
            asked: list[Role] = []

            def tag(role: Role) -> None:
                asked.append(role)
                ends.call(role, "tag", vlan=vlan_order(ends.ends, role))

            try:
                ends.on_both(tag)
                self._make(self._flows.tagged)
            except LabError:
                self._untag(asked)
                raise
        self._is_tagged = wanted

    def _untag(self, roles: Iterable[Role]) -> None:
        """Removes the tagged underlay of ends, as far as it was made, after an error."""
        for role in roles:
            with contextlib.suppress(LabError):  # the first error matters; closing undoes it too
                self._endpoints.call(role, "untag")

    def _renew(self) -> None:
        """Removes every tunnel and makes the first ones again."""
        self._drop((*self._flows.first, *self._flows.second))
        self._make(self._flows.first)
        self.now = ""

    def _make(self, flows: tuple[Flow, ...]) -> None:
        """Makes the tunnels of flows at both ends."""
        ends = self._endpoints

        def make(role: Role) -> None:
            ends.call(role, "make_tunnels", orders=tunnel_orders(ends.ends, role, flows))

        ends.on_both(make)

    def _drop(self, flows: tuple[Flow, ...]) -> None:
        """Removes the tunnels of flows at both ends."""
        names = sorted({device_name(self._endpoints.ends.vni(flow.vni)) for flow in flows})
        self._endpoints.on_both(
            lambda role: self._endpoints.call(role, "drop_tunnels", names=names)
        )

    def _use_second_port(self) -> None:
        """Makes a second tunnel for each outer variant, on another port, and sends through it.

        The driver has to know the port as one of a tunnel that is in use.
        """
        ends = self._endpoints
        try:
            self._make(self._flows.second)
        except LabError as error:
            raise LabError(
                f"the second tunnel cannot be made: {error.what}",
                where=ends.name,
                hint="deselect the flows that need it: -k 'not two-ports'",
            ) from error
        for flow in {flow.vni: flow for flow in self._flows.second}.values():
            used = replace(flow, l4="udp", segmentation=False, packet_set="lengths")
            if not ends.burst(partial(ends.orders.packet_set, used)).sent.submitted.frames:
                raise LabError(
                    f"no frame was sent through the second tunnel (UDP port {flow.port})",
                    where=ends.name,
                )
