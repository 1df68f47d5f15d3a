"""tc VLAN: two BPF programs push and pop VLAN tags if the kernel has no VLAN devices.

The tagged underlay's addresses are then the NIC's own. A frame to the other end gets its tag before
the kernel decides whether the NIC inserts it (net/sched/cls_bpf.c; bpf_skb_vlan_push in
net/core/filter.c), as with a VLAN device, so that the NIC sees no difference. A received frame
loses its tag after the point where a capture sees it (net/core/dev.c, __netif_receive_skb_core).
All other frames are left to the host's own filters (TC_ACT_UNSPEC).

tc's own vlan action (act_vlan) would be shorter, but kernels without 8021q do not have it either.
Linux 6.18 without modules, in which this is used and tested, has CONFIG_NET_CLS_BPF and neither
CONFIG_VLAN_8021Q nor CONFIG_NET_ACT_VLAN, CONFIG_NET_CLS_FLOWER or CONFIG_NET_CLS_MATCHALL:
`tc filter add dev w0 egress protocol ip u32 match ip dst 1.2.3.4 action vlan push id 5` fails with
"Failed to load TC action module", and with NetlinkError(2, 'No such file or directory') by
pyroute2, which adds the same filter without the action. A kernel that has the action as a module
has 8021q as a module, too, and gets a VLAN device.

Sources of the encoding: include/uapi/linux/bpf.h, bpf(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import os
import platform
import socket
import struct
from collections.abc import Iterator

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from qualification.messages.host import VlanOrder
from qualification.messages.protocol import AgentProblem

from . import links

_SYS_BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "s390x": 351, "ppc64le": 361}
_PROG_LOAD, _SCHED_CLS = 5, 3
_INGRESS, _EGRESS = 0xFFFFFFF2, 0xFFFFFFF3  # TC_H_CLSACT and TC_H_MIN_INGRESS, TC_H_MIN_EGRESS
_PRIORITY = 0x5658
"""Priority of our filters; filters with a lower number run first."""
_NAME = "vxqual-vlan"

_VLAN_PUSH, _VLAN_POP = 18, 19
_VLAN_PRESENT, _VLAN_TCI = 20, 24  # in struct __sk_buff


def _instruction(code: int, dst: int, src: int, jump: int, value: int) -> bytes:
    signed = value - (1 << 32) if value >= 1 << 31 else value
    return struct.pack("=BBhi", code, dst | src << 4, jump, signed)


def _move(dst: int, src: int) -> bytes:
    return _instruction(0xBF, dst, src, 0, 0)


def _load(size: int, at: int) -> bytes:
    """Loads 2 (0x28) or 4 bytes (0x20) of the frame into r0, in host order; r6 has the context."""
    return _instruction(size, 0, 0, 0, at)


def _unless(register: int, value: int, jump: int) -> bytes:
    """Skips `jump` instructions unless 32 bits of a register equal a value (Linux 5.1)."""
    return _instruction(0x56, register, 0, jump, value)


_LEAVE = _instruction(0xB7, 0, 0, 0, -1) + _instruction(0x95, 0, 0, 0, 0)  # r0 = TC_ACT_UNSPEC


def pushing(four: int, six: tuple[int, int], vlan: int) -> bytes:
    """Returns a program that pushes a tag onto what is sent to an address.

    Args:
        four: IPv4 address.
        six: The first two words of an IPv6 address.
        vlan: VLAN identifier.
    """
    push = _move(1, 6)
    push += _instruction(0xB7, 2, 0, 0, socket.htons(0x8100))
    push += _instruction(0xB7, 3, 0, 0, vlan)
    push += _instruction(0x85, 0, 0, 0, _VLAN_PUSH) + _LEAVE
    to_push = _instruction(0x05, 0, 0, 5, 0)  # over the checks for IPv6
    return (
        _move(6, 1)
        + _load(0x28, 12)
        + _unless(0, 0x0800, 3)
        + _load(0x20, 14 + 16)
        + _unless(0, four, 10)
        + to_push
        + _unless(0, 0x86DD, 8)
        + _load(0x20, 14 + 24)
        + _unless(0, six[0], 6)
        + _load(0x20, 14 + 28)
        + _unless(0, six[1], 4)
        + push
    )


def popping(vlan: int) -> bytes:
    """Returns a program that pops the tag of what is received in a VLAN."""
    return (
        _move(6, 1)
        + _instruction(0x61, 2, 1, _VLAN_PRESENT, 0)
        + _instruction(0x15, 2, 0, 5, 0)
        + _instruction(0x61, 3, 1, _VLAN_TCI, 0)
        + _instruction(0x57, 3, 0, 0, 0x0FFF)
        + _unless(3, vlan, 2)
        + _move(1, 6)
        + _instruction(0x85, 0, 0, 0, _VLAN_POP)
        + _LEAVE
    )


@contextlib.contextmanager
def _loaded(program: bytes) -> Iterator[int]:
    """Loads a program into the kernel; yields its descriptor.

    Raises:
        AgentProblem: The kernel refuses it.
    """
    code = ctypes.create_string_buffer(program, len(program))
    licence = ctypes.create_string_buffer(b"GPL")
    attributes = struct.pack(
        "=IIQQ",
        _SCHED_CLS,
        len(program) // 8,
        ctypes.addressof(code),
        ctypes.addressof(licence),
    ).ljust(128, b"\0")
    libc = ctypes.CDLL(None, use_errno=True)
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    number = _SYS_BPF.get(platform.machine(), 280)
    file = libc.syscall(number, _PROG_LOAD, buffer, len(attributes))
    if file < 0:
        raise AgentProblem(
            "no-vlan",
            "this kernel has no VLAN devices, and refuses the BPF programs that replace them: "
            + os.strerror(ctypes.get_errno()),
            hint="modprobe 8021q",
        )
    try:
        yield file
    finally:
        os.close(file)


def make(interface: str, order: VlanOrder) -> None:
    """Adds filters that push tags onto frames to the other end, and pop them on receipt.

    Raises:
        AgentProblem: The kernel refuses the programs.
    """
    index = links.index_of(interface)
    parsed = [ipaddress.ip_address(neighbour) for neighbour in order.neighbours]
    four = next((int(one) for one in parsed if one.version == 4), 0)
    words = next((one.packed for one in parsed if one.version == 6), bytes(16))
    first, second = struct.unpack_from("!II", words)
    with IPRoute() as route:
        with contextlib.suppress(NetlinkError):  # the host has a clsact qdisc already
            route.tc("add", "clsact", index)
        programs = (
            (_EGRESS, pushing(four, (first, second), order.vlan)),
            (_INGRESS, popping(order.vlan)),
        )
        for parent, program in programs:
            with _loaded(program) as file:
                route.tc(
                    "add-filter", "bpf", index, fd=file, name=_NAME, parent=parent,
                    prio=_PRIORITY, direct_action=True,
                )  # fmt: skip


def has_clsact(interface: str) -> bool:
    """Returns whether the NIC has a clsact qdisc already."""
    index = links.index_of(interface)
    with IPRoute() as route:
        return any(
            one.get("kind") == "clsact" for one in route.get_qdiscs() if one["index"] == index
        )


def remove(interface: str, *, keep: bool) -> None:
    """Removes the filters, and the clsact qdisc unless it is in use.

    Args:
        interface: The NIC.
        keep: Whether the NIC had a clsact qdisc before `make`.
    """
    index = links.index_of(interface)
    with IPRoute() as route:
        if not has_clsact(interface):
            return
        others = False
        for parent in (_EGRESS, _INGRESS):
            for one in route.get_filters(index=index, parent=parent):
                if one["info"] >> 16 == _PRIORITY:
                    with contextlib.suppress(NetlinkError):
                        route.tc("del-filter", "bpf", index, parent=parent, prio=_PRIORITY)
                else:
                    others = True
        if not (keep or others):
            route.tc("del", "clsact", index)
