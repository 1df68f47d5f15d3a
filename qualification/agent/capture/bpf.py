"""The capture filter: classic BPF (Documentation/networking/filter.rst), assembled here.

The filter is coarse on purpose. It accepts frames of one sender with a given outermost protocol and
destination port, and frames whose ports it cannot find (fragments, IPv6 extension headers). The
verifier then counts frames that do not belong to the burst, so that none is dropped unseen here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache

_LD_W, _LD_H, _LD_B = 0x20, 0x28, 0x30  # BPF_LD | BPF_ABS, by size
_LD_H_IND, _LDX_MSH = 0x48, 0xB1  # [x + k], and x = 4 * ([k] & 15): an IPv4 header's length
_JEQ, _JSET, _RET = 0x15, 0x45, 0x06

_ACCEPT, _REJECT = "accept", "reject"
_VLAN = 0x8100


class _Program:
    """Instructions with named jump targets. Jumps only go forward, as BPF requires."""

    def __init__(self) -> None:
        self._code: list[tuple[int, str | None, str | None, int]] = []
        self._labels: dict[str, int] = {}

    def label(self, name: str) -> None:
        self._labels[name] = len(self._code)

    def add(self, code: int, k: int, *, yes: str | None = None, no: str | None = None) -> None:
        self._code.append((code, yes, no, k))

    def assemble(self) -> bytes:
        out = []
        for here, (code, yes, no, k) in enumerate(self._code):
            jumps = [self._labels[name] - here - 1 if name else 0 for name in (yes, no)]
            out.append(struct.pack("=HBBI", code, jumps[0], jumps[1], k))
        return b"".join(out)


def _packet(p: _Program, name: str, at: int, protocols: tuple[int, ...], port: int) -> None:
    """Adds the tests of an IP packet to a program. The EtherType must be in the accumulator.

    Args:
        p: The program.
        name: A prefix for the labels, which are different for each packet.
        at: Offset of the IP header.
        protocols: As for `sender_filter`.
        port: As for `sender_filter`.
    """
    four, six = name + "ip4-ours", name + "ip6-ours"
    p.add(_JEQ, 0x86DD, yes=name + "ip6")
    p.add(_JEQ, 0x0800, no=_REJECT)

    p.add(_LD_B, at + 9)
    for protocol in protocols:
        p.add(_JEQ, protocol, yes=four)
    p.add(_RET, 0)
    p.label(four)
    p.add(_LD_H, at + 6)
    p.add(_JSET, 0x3FFF, yes=_ACCEPT)  # a fragment, which may have no ports
    p.add(_LDX_MSH, at)
    p.add(_LD_H_IND, at + 2)
    p.add(_JEQ, port, yes=_ACCEPT, no=_REJECT)

    p.label(name + "ip6")
    p.add(_LD_B, at + 6)
    for protocol in protocols:
        p.add(_JEQ, protocol, yes=six)
    for extension in (0, 43, 44, 60):  # hop-by-hop, routing, fragment, destination options
        p.add(_JEQ, extension, yes=_ACCEPT)
    p.add(_RET, 0)
    p.label(six)
    p.add(_LD_H, at + 42)
    p.add(_JEQ, port, yes=_ACCEPT, no=_REJECT)


def sender_filter(mac: str, protocols: Iterable[int], port: int, snap: int) -> bytes:
    """Returns a program that accepts frames from a MAC address to a port of the given protocols.

    Args:
        mac: Source address, "02:00:…".
        protocols: IP protocol numbers, such as 6 and 17.
        port: Destination port.
        snap: Bytes to keep of each frame.

    Returns:
        struct sock_filter instructions, eight bytes each.
    """
    return _sender_filter(mac, tuple(protocols), port, snap)


@lru_cache(8)  # a run uses one or two programs
def _sender_filter(mac: str, protocols: tuple[int, ...], port: int, snap: int) -> bytes:
    source = bytes.fromhex(mac.replace(":", ""))
    p = _Program()
    p.add(_LD_W, 8)
    p.add(_JEQ, int.from_bytes(source[2:], "big"), no=_REJECT)
    p.add(_LD_H, 6)
    p.add(_JEQ, int.from_bytes(source[:2], "big"), no=_REJECT)
    p.add(_LD_H, 12)
    p.add(_JEQ, _VLAN, yes="tagged")
    # The kernel removes the outermost tag from received frames, and from frames that the NIC tags.
    for name, tag in (("", 0), ("tagged", 4)):
        if name:
            p.label(name)
            p.add(_LD_H, 12 + tag)
        _packet(p, name, 14 + tag, protocols, port)

    p.label(_ACCEPT)
    p.add(_RET, snap or 0x40000)
    p.label(_REJECT)
    p.add(_RET, 0)
    return p.assemble()
