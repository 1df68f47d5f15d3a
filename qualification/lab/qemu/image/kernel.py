"""The guests' kernel: one of Debian's, or the user's own build."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from qualification.errors import LabError
from qualification.progress import Progress

from . import packages, store
from .modules import Modules
from .vmlinux import fastest

_SPARE_MIB = 8
"""What a file system needs beside its files."""


@dataclass(frozen=True)
class Kernel:
    """A kernel that guests can be started with.

    Attributes:
        image: What QEMU is given: an uncompressed kernel where it can start one.
        modules: Its modules; None where it needs none.
        disk: A read-only file system with the modules for `/lib/modules`; None without modules.
        release: As `uname -r` tells it, where the modules tell.
    """

    image: Path
    modules: Modules | None
    disk: Path | None
    release: str


def debian(suite: str, say: Progress) -> Kernel:
    """Returns the kernel that Debian's package linux-image-amd64 stands for in a suite.

    Raises:
        LabError: It cannot be downloaded or unpacked.
    """

    def make(into: Path) -> None:
        say(f"kernel: downloading linux-image-amd64 from {suite}")
        release = suite.partition("-")[0]
        with tempfile.TemporaryDirectory(dir=into, prefix="apt-") as scratch:
            archive = packages.Archive(list(dict.fromkeys((release, suite))), Path(scratch))
            names = archive.kernel(suite)
            say(f"kernel: unpacking {', '.join(names)}")
            tree = Path(scratch, "tree")
            packages.unpack(archive.fetch(*names), tree)
            image, directory = _image_of(tree), _modules_of(tree)
            packages.ran("depmod", "-b", str(directory.parents[2]), directory.name)
            image.rename(into / "vmlinuz")
            _keep(into / "vmlinuz", Modules(directory), into)
        (into / "packages.txt").write_text("\n".join(names) + "\n")

    return _kept(store.kept("kernel", {"suite": suite, "format": 1}, make))


def own(image: Path, modules: Path | None, say: Progress) -> Kernel:
    """Takes a kernel that the user built.

    Args:
        image: A bzImage or vmlinux.
        modules: The directory /lib/modules/VERSION that belongs to it; None where all that a
            guest needs is built in.
        say: Told what takes time.

    Raises:
        LabError: It is no kernel, or the directory holds no modules.
    """
    if not image.is_file():
        raise LabError("there is no such file", where=str(image), hint="see lab.kernel")
    found = Modules(modules) if modules else None
    recipe = {"kernel": store.digest(image), "modules": _state(modules), "format": 1}

    def make(into: Path) -> None:
        say(f"kernel: preparing {image}")
        shutil.copyfile(image, into / "vmlinuz")
        _keep(into / "vmlinuz", found, into)

    return _kept(store.kept("kernel", recipe, make))


def _keep(image: Path, modules: Modules | None, into: Path) -> None:
    """Puts into a directory what guests are started from."""
    fastest(image, into)
    if modules is None:
        return
    modules.copy(into / "modules")
    make_disk(into / "modules", into / "modules.img")


def _kept(directory: Path) -> Kernel:
    trees = sorted((directory / "modules").glob("*"))
    modules = Modules(trees[0]) if trees else None
    vmlinux = directory / "vmlinux"
    return Kernel(
        image=vmlinux if vmlinux.exists() else directory / "vmlinuz",
        modules=modules,
        disk=directory / "modules.img" if modules else None,
        release=modules.version if modules else "",
    )


def _image_of(tree: Path) -> Path:
    """Finds the kernel of an unpacked package; newer ones have it beside its modules."""
    found = [*tree.glob("boot/vmlinuz-*"), *tree.glob("usr/lib/modules/*/vmlinuz")]
    if not found:
        raise LabError("the kernel's package has no kernel", where=str(tree))
    return found[0]


def _modules_of(tree: Path) -> Path:
    """Finds the modules of an unpacked package; from trixie on they are below /usr."""
    found = [*tree.glob("lib/modules/*"), *tree.glob("usr/lib/modules/*")]
    if len(found) != 1:
        raise LabError("the kernel's package has no modules", where=str(tree))
    return found[0]


def _state(modules: Path | None) -> list[object]:
    """Tells a directory of modules from the same one after another build."""
    if modules is None:
        return []
    files = sorted(modules.rglob("*.ko*"))
    stats = [(str(path.relative_to(modules)), path.stat()) for path in files]
    return [modules.name, [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]]


def make_disk(tree: Path, disk: Path) -> None:
    """Makes an ext4 file system of a directory's files, all of them root's, without mounting it."""
    files = [path.lstat() for path in tree.rglob("*")]
    blocks = sum(-(-stat.st_size // 4096) for stat in files) + len(files)
    size = blocks * 4096 * 21 // 20 + (_SPARE_MIB << 20)
    packages.ran(
        "mke2fs", "-q", "-t", "ext4", "-b", "4096", "-O", "^has_journal,^resize_inode",
        "-m", "0", "-N", str(len(files) + 64), "-E", "root_owner=0:0", "-d", str(tree),
        str(disk), f"{size >> 10}k",
    )  # fmt: skip
