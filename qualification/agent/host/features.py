"""Reads and sets ethtool features through the kernel's own interface, by their kernel names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress

from pyroute2.ethtool.ioctl import IoctlEthtool, NotSupportedError

from qualification.messages.host import Feature

_UPPER_DISABLES = ("rx-lro",)


def read(interface: str) -> dict[str, Feature]:
    """Returns every feature of an interface, in the kernel's order."""
    with closing(IoctlEthtool(interface)) as ethtool:
        features = ethtool.get_features()
        return {
            name: Feature(
                hw=features.is_available(name) and not features.is_never_changed(name),
                wanted=features.is_requested(name),
                active=features.is_active(name),
            )
            for name in features.keys()  # noqa: SIM118  (iterating yields tuples, not names)
        }


def request(interface: str, wanted: Mapping[str, bool]) -> dict[str, Feature]:
    """Requests features in one call; returns the features that are in effect afterwards.

    A driver may refuse a feature or change others with it; the caller compares what it requested
    with `active`.

    Args:
        interface: The NIC.
        wanted: Kernel feature name to on or off; only features that can be changed.
    """
    with closing(IoctlEthtool(interface)) as ethtool:
        features = ethtool.get_features()
        for name, value in wanted.items():
            features[name] = value
        # ETHTOOL_F_WISH and others: set, but not everything is in effect; `read` shows what is.
        with suppress(NotSupportedError):
            ethtool.set_features(features)
    return read(interface)


def taken_by_upper(interface: str) -> dict[str, bool]:
    """Returns the requested features that the kernel ends for good as a device is put on top.

    `netdev_sync_lower_features` (net/core/dev.c) clears NETIF_F_UPPER_DISABLES, which is LRO, in
    what is requested of the NIC below a VLAN device, and nothing requests it again.
    """
    found = read(interface)
    return {name: True for name in _UPPER_DISABLES if name in found and found[name].wanted}


def learn_dependencies(
    interface: str, names: Sequence[str], stop: Callable[[], bool] = lambda: False
) -> dict[str, tuple[str, ...]]:
    """Returns for each feature the others that go when it alone is switched off.

    It finds out by switching: `netdev_fix_features` (net/core/dev.c) and the `ndo_fix_features` of
    each driver take features away that lack what they need. Without `tx-gso-partial` a driver loses
    the features that it has by partial GSO only (`gso_partial_features`).

    All features are switched on first, and are left in some other state: the caller restores them.

    Args:
        interface: The NIC.
        names: Kernel names of the features to try.
        stop: Returns whether to try no more of them.

    Returns:
        Features that take others along, by kernel name, in the order given.
    """
    found = read(interface)
    tried = [name for name in names if name in found and found[name].hw]
    everything = request(interface, dict.fromkeys(tried, True))
    active = [name for name in tried if everything[name].active]
    lost: dict[str, tuple[str, ...]] = {}
    for name in active:
        if stop():
            break
        # One call from the set before to this one: each can reset the link.
        after = request(interface, {one: one != name for one in tried})
        gone = tuple(one for one in active if one != name and not after[one].active)
        if gone and not after[name].active:
            lost[name] = gone
    return lost
