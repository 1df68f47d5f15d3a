"""Which features of a NIC fall together: found by switching them, not from a table.

`netdev_fix_features` (net/core/dev.c) and `ndo_fix_features` of each driver take features away that
lack what they need: without `tx-gso-partial` a driver loses the features that it does by partial
GSO only (`gso_partial_features`), without a checksum offload it loses TSO.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import features


def learn(interface: str, names: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Returns for each feature the others that go when it alone is switched off.

    All features are switched on first, and are left in some other state: the caller restores them.

    Args:
        interface: The NIC.
        names: Kernel names of the features to try.

    Returns:
        Features that take others along, by kernel name, in the order given.
    """
    found = features.read(interface)
    tried = [name for name in names if name in found and found[name].hw]
    everything = features.request(interface, dict.fromkeys(tried, True))
    active = [name for name in tried if everything[name].active]
    lost: dict[str, tuple[str, ...]] = {}
    for name in active:
        # One call from the set before to this one: each can reset the link.
        after = features.request(interface, {one: one != name for one in tried})
        gone = tuple(one for one in active if one != name and not after[one].active)
        if gone and not after[name].active:
            lost[name] = gone
    return lost
