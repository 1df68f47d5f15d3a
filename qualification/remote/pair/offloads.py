"""The offload set of a pair's DUT: requests it and reads back what the driver put into effect."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from qualification.plan.extra_flows import VLAN_INSERT
from qualification.plan.features import RECEIVING, RULES, SENDING, unasked
from qualification.plan.flows import Flow

from .endpoints import Endpoints
from .vlan import insertion

_log = logging.getLogger("vxqual.pair")


class Offloads:
    """The offload set that a pair's DUT is under.

    Args:
        endpoints: The pair.

    Attributes:
        effective: The features in effect, by the kernel's name: whether each is on.
        refused: Features that can be switched, and that the driver did not switch as requested.
    """

    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints
        self.effective: dict[str, bool] = {}
        self.refused: tuple[str, ...] = ()
        self._requested: dict[str, bool] = {}
        found = endpoints.ends.dut.facts.features
        self._unasked = unasked({name: feature.wanted for name, feature in found.items()})

    @property
    def active(self) -> frozenset[str]:
        """The names of the features that are on."""
        return frozenset(name for name, on in self.effective.items() if on)

    def effective_for(self, flow: Flow) -> dict[str, bool]:
        """Returns those of the features in effect that apply to a flow."""
        names = RECEIVING if flow.direction == "receive" else (*SENDING, *insertion(flow))
        return {name: on for name, on in self.effective.items() if name in names}

    def all_off(self) -> None:
        """Switches off every offload of the DUT that can be switched, for the controls."""
        self.request(dict.fromkeys((*SENDING, VLAN_INSERT), False))

    def all_on(self) -> None:
        """Switches on every offload of the DUT that can be switched, as production has it."""
        self.request(dict.fromkeys(SENDING, True))

    def request(self, wanted: Mapping[str, bool]) -> None:
        """Puts the DUT under an offload set, unless the same one was requested last.

        Args:
            wanted: Features by the kernel's name: whether each is to be on.
        """
        requested = {**self._unasked, **wanted}
        if requested == self._requested:
            return
        answer = self._endpoints.call("dut", "request_features", wanted=requested)
        on = {name for name, feature in answer.items() if feature["active"]}
        self.effective = {n: n in on for n in (*RULES, VLAN_INSERT) if n in answer}
        self._requested = requested
        self.refused = tuple(
            name
            for name, value in wanted.items()
            if answer.get(name, {}).get("hw") and value != (name in on)
        )
        _log.info(
            "%s: offloads of %s: requested on: %s; effective: %s; refused by the driver: %s",
            self._endpoints.name,
            self._endpoints.ends.dut.name,
            _names(name for name, value in requested.items() if value),
            _names(self.active),
            _names(self.refused),
        )
        self._endpoints.reach()

    def request_again(self) -> None:
        """Requests the same offload set once more, and reads back what is in effect."""
        requested, self._requested = self._requested, {}
        self.request(requested)


def _names(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
