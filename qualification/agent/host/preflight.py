"""The checks that must pass before anything on a host is changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from qualification.messages.protocol import AgentProblem

from . import links

MIN_MTU = 1280 + 70
"""Inner IPv6 needs 1280 bytes (RFC 8200, section 5), an IPv6 tunnel adds 70."""


def checks(
    interface: str, addresses: Sequence[str], allow_management: bool
) -> list[Callable[[], None]]:
    """Returns the checks in their order; each raises an `AgentProblem` if it fails.

    Args:
        interface: The NIC.
        addresses: Its underlay addresses, with prefix lengths.
        allow_management: Whether the NIC may carry our own SSH session.
    """

    def exists() -> None:
        links.find(interface)

    def is_root() -> None:
        if os.geteuid() != 0:
            raise AgentProblem("not-root", "the agent does not run as root")

    def not_ours() -> None:
        session = None if allow_management else links.carries_ssh(interface)
        if session is not None:
            raise AgentProblem(
                "management-interface",
                f"{interface} carries our own SSH session ({session})",
                hint="name another interface, or set allow_management: true for this NIC",
            )

    def mtu_fits() -> None:
        mtu = int(links.find(interface).get("mtu"))
        if mtu < MIN_MTU:
            raise AgentProblem(
                "mtu-too-small",
                f"the MTU of {interface} is {mtu}, and inner IPv6 in a tunnel needs {MIN_MTU}",
                hint=f"ip link set {interface} mtu 1500",
            )

    def has_link() -> None:
        if links.is_up(interface) and not links.has_carrier(interface):
            raise AgentProblem(
                "no-link",
                f"{interface} is up and has no link",
                hint="check the cable, the peer's port and the switch between them",
            )

    def free(address: str) -> Callable[[], None]:
        return lambda: links.check_address_free(interface, address)

    return [exists, is_root, not_ours, mtu_fits, has_link, *(free(a) for a in addresses)]
