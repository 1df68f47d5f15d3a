"""Inner addresses, MAC addresses and device names of a pair's tunnels. Pure."""

from __future__ import annotations

from typing import Literal

from qualification.inventory import Role
from qualification.wire.flow_frames import TUNNEL_MACS

END_NUMBER = {"dut": 1, "peer": 2}
"""The number of each end in every address that is made here and in `vlan`."""
NO_VNI = 0
"""The VNI in the inner addresses of crafted packets: neither end has them, so no end accepts the
packets, and they are the same in every tunnel."""
NOBODY_MAC = "02:56:58:00:00:4d"
"""A MAC address inside the tunnels that neither end has; `inner_mac` makes all the others."""


def inner_address(role: Role, vni: int, family: Literal[4, 6]) -> str:
    """Returns the inner address of an end.

    It is used in a network namespace of its own, so it cannot collide with the host's addresses.
    """
    net, host = vni & 0xFF, END_NUMBER[role]
    return f"10.86.{net}.{host}" if family == 4 else f"fd56:58:{net}::{host}"


def inner_mac(role: Role, vni: int) -> str:
    """Returns the inner MAC address of an end: locally administered, with its number and VNI."""
    return f"{TUNNEL_MACS.hex(':')}:{vni >> 8 & 0xFF:02x}:{vni & 0xFF:02x}:{END_NUMBER[role]:02x}"


def nobody(vni: int, family: Literal[4, 6]) -> str:
    """Returns an inner address that neither end has: packets to it are captured, not answered."""
    net = vni & 0xFF
    return f"10.86.{net}.77" if family == 4 else f"fd56:58:{net}::77"


def device_name(vni: int) -> str:
    """Returns the name of a VNI's VXLAN device in the tunnel namespace."""
    return f"vx{vni:x}"
