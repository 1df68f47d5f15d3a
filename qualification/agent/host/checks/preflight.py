"""The checks that must pass before anything on a host is changed."""

from __future__ import annotations

import ipaddress
import os
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

from pyroute2 import IPRoute

from qualification.agent.host import links
from qualification.messages.protocol import AgentProblem

from . import devices
from .our_session import carries_ssh

MIN_MTU = 1280 + 70
"""Inner IPv6 needs 1280 bytes (RFC 8200, section 5), an IPv6 tunnel adds 70."""

SYSCTLS = Path("/proc/sys/net")


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

    def is_nic() -> None:
        devices.check_is_nic(interface)

    def is_no_port() -> None:
        devices.check_is_no_port(interface)

    def not_ours() -> None:
        session = None if allow_management else carries_ssh(interface)
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
                hint=f"ip link set {shlex.quote(interface)} mtu 1500",
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

    def alone(address: str) -> Callable[[], None]:
        return lambda: _check_subnet(interface, address)

    return [
        exists,
        is_root,
        is_nic,
        is_no_port,
        not_ours,
        mtu_fits,
        has_link,
        _check_sysctls,
        lambda: _check_ipv6(interface, addresses),
        *(free(a) for a in addresses),
        *(alone(a) for a in addresses),
    ]


def _check_sysctls() -> None:
    """Checks that the kernel has IPv6, and that a tunnel namespace can be set up."""
    if not (SYSCTLS / "ipv6").exists():
        raise AgentProblem(
            "no-ipv6",
            "the kernel has no IPv6, and half of the inner packets are IPv6",
            hint="load it with `modprobe ipv6`, or boot without ipv6.disable=1",
        )
    if os.statvfs(SYSCTLS).f_flag & os.ST_RDONLY:
        raise AgentProblem(
            "sysctls-read-only",
            f"{SYSCTLS} is read-only, and the namespace of the tunnels needs settings there",
            hint="if the host is a container, make it a privileged one; or mount -o remount,rw "
            "/proc/sys",
        )


def _check_ipv6(interface: str, addresses: Sequence[str]) -> None:
    """Checks that the interface takes IPv6 addresses, if it is to have any."""
    wanted = [address for address in addresses if ":" in address]
    setting = SYSCTLS / "ipv6/conf" / interface / "disable_ipv6"
    try:
        disabled = setting.read_text(encoding="ascii").strip() != "0"
    except OSError:  # an MTU below 1280 bytes takes IPv6 away as well; that is another check
        return
    if wanted and disabled:
        # A dot in the name of an interface is a slash there (sysctl(8)).
        name = "net.ipv6.conf.{}.disable_ipv6".format(interface.replace(".", "/"))
        raise AgentProblem(
            "ipv6-disabled",
            f"IPv6 is disabled on {interface}, and its underlay address {wanted[0]} needs it",
            hint=f"sysctl -w {shlex.quote(name)}=0, or leave the IPv6 address out of the topology",
        )


def _check_subnet(interface: str, address: str) -> None:
    """Checks that no other interface that is up has an address in the underlay's subnet.

    The kernel would answer ARP for either address on either interface, and would send by one of
    the two routes whichever the topology names.

    Raises:
        AgentProblem: There is one.
    """
    ours = ipaddress.ip_interface(address)
    with IPRoute() as route:
        up = {link["index"]: link.get("ifname") for link in route.get_links() if link["flags"] & 1}
        for message in route.get_addr():
            name = up.get(message["index"])
            other = ipaddress.ip_interface(
                "{}/{}".format(message.get("address"), message["prefixlen"])
            )
            if name in (None, interface) or other.version != ours.version or other.ip == ours.ip:
                continue
            # A single address has no route to others, and a shorter prefix loses against ours.
            prefix = other.network.prefixlen
            if ours.network.prefixlen <= prefix < other.max_prefixlen and other.ip in ours.network:
                raise AgentProblem(
                    "subnet-shared",
                    f"{name} of this host has {other}, which is in the subnet of underlay address "
                    f"{address}: packets may leave or arrive by either interface",
                    hint="give the pair an underlay subnet of its own in the topology, or set "
                    f"{name} down",
                )
