"""Gives up what an agent never needs of being root, before it hears its first order.

What is given up is gone for this process, its threads and whatever it starts: a fault in it, or in
a tool of the host that it runs, can then neither load a module, nor write other users' files, nor
become somebody else. It is done on the main thread while there is no other: capabilities belong to
threads (capabilities(7)).
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

KEPT = {
    "CAP_DAC_READ_SEARCH": 2,  # reads its own modules in the SSH user's cache, after sudo
    "CAP_NET_BIND_SERVICE": 10,  # VXLAN on a port below 1024
    "CAP_NET_ADMIN": 12,  # links, addresses, offloads, sysctls of the network
    "CAP_NET_RAW": 13,  # captures, crafted frames
    "CAP_SYS_ADMIN": 21,  # unshare(2) and setns(2) of the tunnel's namespace
    "CAP_SYSLOG": 34,  # /dev/kmsg
}
"""The capabilities that orders need, by name (include/uapi/linux/capability.h)."""

_PR_CAPBSET_READ, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 23, 24, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAP_SETPCAP = 8
_VERSION = 0x20080522  # _LINUX_CAPABILITY_VERSION_3: 64 capabilities in two words
_LAST = Path("/proc/sys/kernel/cap_last_cap")

_LIBC = ctypes.CDLL(None, use_errno=True)


def drop() -> None:
    """Keeps the capabilities of `KEPT` and no way to any other; files are its own from now on.

    Where it may not change its bounding set, PR_SET_NO_NEW_PRIVS alone holds what it starts.
    Somebody who is not root has none to give up, and is refused by the controller.

    Raises:
        OSError: The kernel refuses it; nobody should serve orders then.
    """
    os.umask(0o077)
    if os.geteuid() != 0:
        return
    header = (ctypes.c_uint32 * 2)(_VERSION, 0)
    words = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; then their high halves
    _check(_LIBC.capget(header, words), "capget")
    wanted = sum(1 << number for number in KEPT.values())
    permitted_now = words[1] | words[4] << 32
    permitted = permitted_now & wanted
    if permitted_now >> _CAP_SETPCAP & 1:  # root of a container may lack it
        for number in range(int(_LAST.read_text(encoding="ascii")) + 1):
            if not wanted >> number & 1 and _prctl(_PR_CAPBSET_READ, number) == 1:
                _check(_prctl(_PR_CAPBSET_DROP, number), "prctl(PR_CAPBSET_DROP)")
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)  # before Linux 4.3 there are none
    low, high = permitted & 0xFFFFFFFF, permitted >> 32
    words[:] = [low, low, 0, high, high, 0]
    _check(_LIBC.capset(header, words), "capset")
    _check(_prctl(_PR_SET_NO_NEW_PRIVS, 1), "prctl(PR_SET_NO_NEW_PRIVS)")


def _prctl(option: int, argument: int) -> int:
    zero = ctypes.c_ulong(0)
    return int(_LIBC.prctl(option, ctypes.c_ulong(argument), zero, zero, zero))


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
