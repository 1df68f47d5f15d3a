"""VLAN tags where the kernel has no VLAN devices: two BPF programs put them on and take them off.

The tagged underlay's addresses are then the NIC's own. What is sent to the partner's gets the tag
where a VLAN device would have given it, before the kernel decides who inserts it
(net/sched/cls_bpf.c; bpf_skb_vlan_push in net/core/filter.c), so that the NIC sees no difference.
What arrives with it loses it behind the point where a capture sees it (net/core/dev.c,
__netif_receive_skb_core). All other frames go their way: TC_ACT_UNSPEC has the host's own filters
decide. Sources of the encoding: include/uapi/linux/bpf.h, bpf(2).
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
"""Of our filters; behind those of anybody who wants to be first."""
_NAME = "vxqual-vlan"

_VLAN_PUSH, _VLAN_POP = 18, 19
_VLAN_PRESENT, _VLAN_TCI = 20, 24  # in struct __sk_buff


def _instruction(code: int, dst: int, src: int, jump: int, value: int) -> bytes:
    signed = value - (1 << 32) if value >= 1 << 31 else value
    return struct.pack("=BBhi", code, dst | src << 4, jump, signed)


def _move(dst: int, src: int) -> bytes:
    return _instruction(0xBF, dst, src, 0, 0)


def _load(size: int, at: int) -> bytes:
    """Into r0: 0x28 two bytes of the frame, 0x20 four, in host order; r6 has the context."""
    return _instruction(size, 0, 0, 0, at)


def _unless(register: int, value: int, jump: int) -> bytes:
    """Jumps over so many instructions unless 32 bits of a register are a value (Linux 5.1)."""
    return _instruction(0x56, register, 0, jump, value)


_LEAVE = _instruction(0xB7, 0, 0, 0, -1) + _instruction(0x95, 0, 0, 0, 0)  # r0 = TC_ACT_UNSPEC


def pushing(four: int, six: tuple[int, int], vlan: int) -> bytes:
    """A program that tags what is sent to an address.

    Args:
        four: IPv4 address.
        six: The first two words of an IPv6 address.
        vlan: VLAN identifier.
    """
    push = _move(1, 6)
    push += _instruction(0xB7, 2, 0, 0, socket.htons(0x8100))
    push += _instruction(0xB7, 3, 0, 0, vlan)
    push += _instruction(0x85, 0, 0, 0, _VLAN_PUSH) + _LEAVE
    to_push = _instruction(0x05, 0, 0, 5, 0)  # over what looks at IPv6
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
    """A program that takes the tag off what arrives in a VLAN."""
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
    """The descriptor of a program in the kernel.

    Raises:
        AgentProblem: The kernel does not take it.
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
            "this kernel makes no VLAN devices, and takes no BPF in their place: "
            + os.strerror(ctypes.get_errno()),
            hint="modprobe 8021q",
        )
    try:
        yield file
    finally:
        os.close(file)


def make(interface: str, order: VlanOrder) -> None:
    """Has what is sent to the tagged underlay's other end tagged, and what arrives untagged.

    Raises:
        AgentProblem: The kernel can do neither.
    """
    index = links.index_of(interface)
    parsed = [ipaddress.ip_address(neighbour) for neighbour in order.neighbours]
    four = next((int(one) for one in parsed if one.version == 4), 0)
    words = next((one.packed for one in parsed if one.version == 6), bytes(16))
    first, second = struct.unpack_from("!II", words)
    with IPRoute() as route:
        with contextlib.suppress(NetlinkError):  # the host has it for filters of its own
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
    """Whether the host filters on the NIC already."""
    index = links.index_of(interface)
    with IPRoute() as route:
        return any(
            one.get("kind") == "clsact" for one in route.get_qdiscs() if one["index"] == index
        )


def remove(interface: str, *, keep: bool) -> None:
    """Takes the programs away.

    Args:
        interface: The NIC.
        keep: What they hung on was there before them.
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
