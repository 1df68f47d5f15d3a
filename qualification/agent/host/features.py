"""Reads and sets ethtool features through the kernel's own interface, by their kernel names."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing, suppress

from pyroute2.ethtool.ioctl import IoctlEthtool, NotSupportedError

from qualification.messages.host import Feature


def read(interface: str) -> dict[str, Feature]:
    """Every feature of an interface, in the kernel's order."""
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
    """Asks for features in one call and reads back what came of it.

    A driver may refuse or move others along; the caller compares what it wanted with `active`.

    Args:
        interface: The NIC.
        wanted: Kernel feature name to on or off. Only switchable ones may be named.
    """
    with closing(IoctlEthtool(interface)) as ethtool:
        features = ethtool.get_features()
        for name, value in wanted.items():
            features[name] = value
        # ETHTOOL_F_WISH and its like: set, but not everything is in effect. Reading tells.
        with suppress(NotSupportedError):
            ethtool.set_features(features)
    return read(interface)
