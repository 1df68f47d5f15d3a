"""TAP devices: the process that holds the file descriptors acts as their hardware.

Sources: Documentation/networking/tuntap.rst, include/uapi/linux/if_tun.h and virtio_net.h,
drivers/net/tun.c, include/linux/virtio_net.h.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from qualification.errors import LabError

CLONE_NEWNET = 0x40000000

_TUNSETIFF = 0x400454CA
_TUNSETOFFLOAD = 0x400454D0
_TUNSETVNETHDRSZ = 0x400454D8

_IFF_TAP = 0x0002
_IFF_NAPI = 0x0010
_IFF_NO_PI = 0x1000
_IFF_MULTI_QUEUE = 0x0100
_IFF_VNET_HDR = 0x4000
_IFF_TUN_EXCL = 0x8000
# Frames that are written go through NAPI like those of a NIC's receive queue, and so through GRO.
_IFF_FLAGS = _IFF_TAP | _IFF_NAPI | _IFF_NO_PI | _IFF_VNET_HDR | _IFF_MULTI_QUEUE

_F_CSUM_TSO = 0x01 | 0x02 | 0x04 | 0x08  # CSUM, TSO4, TSO6, TSO_ECN
_F_USO = 0x20 | 0x40
_F_TUNNEL = 0x80 | 0x100

_HEADER_PLAIN = 10  # struct virtio_net_hdr
_HEADER_TUNNEL = 24  # struct virtio_net_hdr_v1_hash_tunnel

# From most to least: offload bits, header size in bytes, and what a kernel that grants no more
# than these lacks.
_GRANTS = (
    (_F_CSUM_TSO | _F_USO | _F_TUNNEL, _HEADER_TUNNEL, ()),
    (
        _F_CSUM_TSO | _F_USO,
        _HEADER_PLAIN,
        ("this kernel's TUN cannot offload tunnel segmentation (6.17 and later can)",),
    ),
    (
        _F_CSUM_TSO,
        _HEADER_PLAIN,
        (
            "this kernel's TUN cannot offload tunnel segmentation (6.17 and later can)",
            "this kernel's TUN cannot offload UDP segmentation (6.2 and later can)",
        ),
    ),
)

_NOTHING = ((0, _HEADER_PLAIN, ()),)
_UNMAPPED = 1 << 12
"""An address at which no process has memory (vm.mmap_min_addr)."""


@dataclass(frozen=True)
class Tap:
    """An open TAP device.

    Attributes:
        queues: A non-blocking file descriptor for each queue. Each read and write transfers one
            frame with its vnet header. Closing all of them removes the device.
        header_size: Size of the vnet header before each frame, in bytes.
        missing: Sentences on what this kernel cannot offload to a TAP.
    """

    queues: tuple[int, ...]
    header_size: int
    missing: tuple[str, ...]


@contextlib.contextmanager
def inside(namespace: str) -> Iterator[None]:
    """Moves the calling thread into a named network namespace, and back at the end.

    Args:
        namespace: Its name for `ip netns`.

    Raises:
        LabError: There is no such namespace, or this process may not enter it.
    """
    with contextlib.ExitStack() as files:
        try:
            home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            files.callback(os.close, home)
            away = os.open(Path("/run/netns", namespace), os.O_RDONLY | os.O_CLOEXEC)
            files.callback(os.close, away)
            _setns(away)
        except OSError as error:
            what = f"cannot enter the namespace: {error.strerror}"
            raise LabError(what, where=namespace) from error
        try:
            yield
        finally:
            _setns(home)


def _setns(fd: int) -> None:
    """Moves the calling thread into a network namespace (`os.setns` is new in Python 3.12)."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(fd, CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def open_tap(namespace: str, interface: str, queues: int = 1, *, offloads: bool = True) -> Tap:
    """Makes a TAP in a namespace with every offload that this kernel grants, or with none.

    The kernel chooses a transmit queue by the hash of a frame's addresses and ports, which is the
    same for both directions. If a frame of that hash was last written to another queue, the kernel
    uses that queue instead (tun_automq_select_queue). A process that writes each frame to the queue
    with the number of the queue it came from therefore keeps every flow in one queue, and in order.

    Args:
        namespace: Its name for `ip netns`.
        interface: Name of the device; it must not exist there yet.
        queues: Number of queues in each direction.
        offloads: Whether the device has offloads. One without refuses to switch any of them on.

    Returns:
        The open device.

    Raises:
        LabError: The device cannot be made.
    """
    opened: list[int] = []
    try:
        with inside(namespace):
            for _ in range(queues):
                # The device is made in the namespace of the opening thread (tun_chr_open).
                flags = os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC
                opened.append(os.open("/dev/net/tun", flags))
    except OSError as error:
        _close(opened)
        raise LabError(
            f"cannot open /dev/net/tun: {error.strerror}", hint="run as root, with `modprobe tun`"
        ) from error
    try:
        for number, fd in enumerate(opened):
            flags = _IFF_FLAGS if number else _IFF_FLAGS | _IFF_TUN_EXCL
            fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", interface.encode(), flags))
        header_size, missing = _negotiate(opened[0], _GRANTS if offloads else _NOTHING)
        return Tap(tuple(opened), header_size, missing)
    except OSError as error:
        _close(opened)
        raise LabError(
            f"cannot make the TAP {interface}: {error.strerror}", where=namespace
        ) from error


class _Piece(ctypes.Structure):
    """`struct iovec` (writev(2))."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def drop(queue: int, length: int) -> None:
    """Has the driver drop a frame for lack of a buffer and count it as rx_dropped.

    TUN does that with a frame that it cannot copy (`tun_get_user`, drivers/net/tun.c).

    Args:
        queue: The queue that would have received the frame.
        length: Bytes of the frame.
    """
    header = ctypes.create_string_buffer(_HEADER_TUNNEL)
    pieces = (_Piece * 2)(
        _Piece(ctypes.addressof(header), _HEADER_TUNNEL),
        _Piece(_UNMAPPED, length),
    )
    ctypes.CDLL(None).writev(queue, pieces, 2)


def _close(files: list[int]) -> None:
    for fd in files:
        os.close(fd)


def _negotiate(
    fd: int, grants: Sequence[tuple[int, int, tuple[str, ...]]]
) -> tuple[int, tuple[str, ...]]:
    """Sets the most of `grants` that the kernel accepts, for the whole device.

    Returns:
        The size of the vnet header in bytes, and sentences on what is missing.

    Raises:
        OSError: The kernel accepts none of them, or the device is broken.
    """
    for bits, header_size, missing in grants:
        try:
            # The size is set first: the kernel grants tunnel bits only to a header that has them.
            fcntl.ioctl(fd, _TUNSETVNETHDRSZ, struct.pack("i", header_size))
            fcntl.ioctl(fd, _TUNSETOFFLOAD, bits)
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
        else:
            return header_size, missing
    raise OSError(errno.EOPNOTSUPP, "this kernel's TUN grants not even TSO")
