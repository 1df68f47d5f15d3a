"""Reads and sets ethtool features through the kernel's own interface, by their kernel names."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing, suppress

from pyroute2.ethtool.ioctl import IoctlEthtool, NotSupportedError

from qualification.messages.host import Feature


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
