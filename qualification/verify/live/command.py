"""Judges what an interface sends and receives, while it does."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from qualification.agent.host import links
from qualification.errors import LabError, UsageError
from qualification.messages.protocol import AgentProblem
from qualification.stack.classes import Side
from qualification.verify.command import judge_one

from . import switching
from .capture import LiveCapture

if TYPE_CHECKING:
    from collections.abc import Callable

    from qualification.verify.reading import Wanted

_ACCEPT = struct.pack("=HBBI", 0x06, 0, 0, 0x40000)  # BPF_RET | BPF_K, as much as there is
_LINKS = {1: 1, 772: 1, 65534: 101, 768: 101, 769: 101, 776: 101}
"""Link types by the kernel's ARPHRD_: Ethernet, loopback, and tunnels of bare IP packets."""


@dataclass(frozen=True)
class Live:
    """What is captured.

    Attributes:
        interface: The interface.
        seconds: For how long.
        gro_off: Whether GRO and LRO are switched off meanwhile.
    """

    interface: str
    seconds: float
    gro_off: bool = False


def verify_live(live: Live, wanted: Wanted, echo: Callable[[str], None] = print) -> int:
    """Captures an interface and judges every checksum.

    Returns:
        The exit code; see `verify_files`.

    Raises:
        UsageError: The interface cannot be captured, or would hand over merged frames.
        LabError: GRO and LRO could not be switched, or not be put back.
    """
    try:
        link = _LINKS.get(links.find(live.interface)["ifi_type"])
        if link is None:
            raise UsageError(
                "frames of this kind of interface are not supported",
                where=live.interface,
                hint="capture on the NIC that carries its traffic",
            )
        if not links.is_up(live.interface):
            hint = f"ip link set {live.interface} up"
            raise UsageError("the interface is down", where=live.interface, hint=hint)
    except AgentProblem as problem:
        raise UsageError(problem.message, hint=problem.hint) from None
    if os.geteuid() != 0:
        raise _needs_root(live)
    program = _ACCEPT if wanted.expression is None else _compiled(live, wanted.expression)
    with ExitStack() as stack:
        if live.gro_off:
            stack.enter_context(switching.switched_off(live.interface))
        elif wanted.side != Side.SENDER and (merging := switching.merging(live.interface)):
            raise _merged(live, merging)
        try:
            capture = stack.enter_context(
                LiveCapture.of(live.interface, live.seconds, link, program)
            )
        except PermissionError:  # root within a container, for example
            raise _needs_root(live) from None
        except OSError as error:
            what = f"cannot be captured: {error.strerror or error}"
            hint = "a ring of 64 MiB is needed; look whether memory is short (free -m, dmesg)"
            raise LabError(what, where=live.interface, hint=hint) from None
        print(f"capturing {live.interface} for {live.seconds:g} s", file=sys.stderr, flush=True)
        code, _ = judge_one(
            capture.path, replace(wanted, expression=None), echo, live.interface, capture.finish
        )
    return code


def _needs_root(live: Live) -> UsageError:
    words = f"vxqual verify --live {live.interface} --seconds {live.seconds:g}"
    return UsageError("capturing needs root", where=live.interface, hint=f"sudo {words}")


def _merged(live: Live, merging: dict[str, list[str]]) -> UsageError:
    names = " and ".join(
        f"{', '.join(names)} of {interface}" for interface, names in merging.items()
    )
    commands = "; ".join(switching.command(*each) for each in merging.items())
    return UsageError(
        f"{names} would put frames together before they are captured, which the wire never had",
        where=live.interface,
        hint=f"switch it off: {commands}; or have it switched off for the capture and put back: "
        "--gro-off",
    )


def _compiled(live: Live, expression: str) -> bytes:
    """Returns a filter expression as instructions of the kernel; tcpdump compiles it.

    Raises:
        UsageError: tcpdump is not installed, or the expression is none.
    """
    tcpdump = shutil.which("tcpdump")
    if tcpdump is None:
        hint = "install tcpdump, or capture without --filter"
        raise UsageError("tcpdump is not installed", where=live.interface, hint=hint)
    done = subprocess.run(
        [tcpdump, "-i", live.interface, "-ddd", expression],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        hint = "the expression is as for tcpdump: man pcap-filter"
        what = done.stderr.strip().splitlines()[-1].removeprefix("tcpdump: ")
        raise UsageError(f"tcpdump: {what}", where=live.interface, hint=hint)
    lines = done.stdout.splitlines()[1:]
    return b"".join(struct.pack("=HBBI", *map(int, line.split())) for line in lines)
