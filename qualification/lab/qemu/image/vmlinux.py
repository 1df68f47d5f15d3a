"""A kernel in the form that QEMU starts fastest.

A bzImage decompresses itself, which takes an emulated CPU eight seconds of xz. QEMU also starts
an uncompressed ELF kernel that has the PVH entry point (CONFIG_PVH; the Xen ELF note
XEN_ELFNOTE_PHYS32_ENTRY), so it is decompressed here, once. See
Documentation/arch/x86/boot.rst, "payload_offset".
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import struct
import subprocess
from pathlib import Path

from qualification.errors import LabError

_ELF = b"\x7fELF"
_MAGIC = 0x202, b"HdrS"
_SETUP_SECTS = 0x1F1
_PAYLOAD = 0x248
_PT_NOTE = 4
_PHYS32_ENTRY = 18


def fastest(kernel: Path, into: Path) -> Path:
    """Returns a kernel's uncompressed form if QEMU can start that, else the kernel itself.

    Args:
        kernel: A bzImage or a vmlinux.
        into: The directory for the uncompressed form.

    Raises:
        LabError: The file is no kernel for x86.
    """
    image = kernel.read_bytes()
    if image.startswith(_ELF):
        return kernel
    start, magic = _MAGIC
    if image[start : start + len(magic)] != magic:
        raise LabError(
            "is neither a bzImage nor a vmlinux",
            where=str(kernel),
            hint="name arch/x86/boot/bzImage of a kernel's build directory",
        )
    unpacked = _payload(image)
    if unpacked is None or not has_pvh_entry(unpacked):
        return kernel
    vmlinux = into / "vmlinux"
    vmlinux.write_bytes(unpacked)
    return vmlinux


def has_pvh_entry(image: bytes) -> bool:
    """Returns whether an ELF kernel can be started without its real mode part."""
    if not image.startswith(_ELF) or image[4] != 2:  # ELFCLASS64
        return False
    table, size, count = *struct.unpack_from("<Q", image, 32), *struct.unpack_from("<HH", image, 54)
    for at in range(table, table + size * count, size):
        kind, _, offset, _, _, length = struct.unpack_from("<IIQQQQ", image, at)
        if kind == _PT_NOTE and _has_note(image[offset : offset + length]):
            return True
    return False


def _has_note(notes: bytes) -> bool:
    at = 0
    while at + 12 <= len(notes):
        name_size, size, kind = struct.unpack_from("<III", notes, at)
        name = notes[at + 12 : at + 12 + name_size]
        if kind == _PHYS32_ENTRY and name == b"Xen\0":
            return True
        at += 12 + (name_size + 3 & ~3) + (size + 3 & ~3)
    return False


def _payload(image: bytes) -> bytes | None:
    """Decompresses what a bzImage carries; None for a compression that nothing here knows."""
    sectors = image[_SETUP_SECTS] or 4
    offset, length = struct.unpack_from("<II", image, _PAYLOAD)
    at = (sectors + 1) * 512 + offset
    packed = image[at : at + length]
    # The last four bytes are the unpacked size and belong to no format.
    if packed.startswith(b"\xfd7zXZ"):
        return lzma.LZMADecompressor().decompress(packed)
    if packed.startswith(b"\x1f\x8b"):
        with gzip.open(io.BytesIO(packed[:-4])) as file:
            return file.read()
    if packed.startswith(b"BZh"):
        return bz2.BZ2Decompressor().decompress(packed)
    for magic, program in ((b"\x28\xb5\x2f\xfd", "zstd"), (b"\x02\x21\x4c\x18", "lz4")):
        if packed.startswith(magic) and shutil.which(program):
            command = [program, "-d", "-c"]
            return subprocess.run(
                command, input=packed[:-4], capture_output=True, check=True
            ).stdout
    return None
