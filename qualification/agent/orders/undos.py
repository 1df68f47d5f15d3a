"""What undoes each kind of change, by the name that it has in the journal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from qualification.agent.host import features, link_snapshot, links, mtu, nic_state, vlan_device
from qualification.agent.host.journal import Journal, Undo
from qualification.messages.closing import left_changed
from qualification.messages.protocol import AgentProblem


def _features(interface: str, wanted: dict[str, bool]) -> None:
    links.find(interface)
    features.request(interface, wanted)


def _link(interface: str, up: bool) -> bool:
    """Sets a link up or down; returns False if it is so already."""
    if links.is_up(interface) == up:
        return False
    links.set_up(interface, up)
    return True


UNDOS: Mapping[str, Undo] = {
    "state": nic_state.compare,
    "features": _features,
    "address": links.remove_address,
    "link": _link,
    "link-snapshot": link_snapshot.put_back,
    "vlan": vlan_device.remove,
    "mtu": mtu.put_back,
}

UNDOS_BY_HAND: Mapping[str, Undo] = {**UNDOS, "state": nic_state.put_back}
"""Those of `vxqual restore`."""


def write_state(journal: Journal, interface: str) -> None:
    """Writes the state of a NIC to the journal, as the first entry: it is the last to be undone."""
    index = links.index_of(interface)
    journal.about_to("state", interface=interface, index=index, before=nic_state.read(interface))


def check_recovered(interface: str, recovered: Sequence[str]) -> None:
    """Checks that nothing of an agent that died is left changed.

    Raises:
        AgentProblem: Something is.
    """
    left = left_changed(recovered)
    if left:
        raise AgentProblem(
            "left-changed",
            f"{interface} was left changed by an earlier run: {'; '.join(left)}",
            hint="put it back with: vxqual restore TOPOLOGY",
        )
