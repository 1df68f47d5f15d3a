"""Kernel modules: which of them a guest needs, with all that they depend on.

`modules.dep` is depmod's; see depmod(8) and modules.dep(5).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from qualification.errors import LabError

_COPIED = ("kernel/net", "kernel/lib", "kernel/crypto", "kernel/arch", "kernel/drivers/net")
_LEFT_OUT = ("kernel/drivers/net/wireless", "kernel/drivers/net/wwan", "kernel/net/wireless")
"""Folders of a kernel's modules that a guest gets: its network, and what that is made of."""


BOOT = ("virtio_pci", "virtio_blk", "crc32c_generic", "ext4", "overlay")
"""What a guest needs to get to its root file system; ext4 asks for crc32c only when it mounts."""


class Modules:
    """The modules of one kernel.

    Args:
        directory: Its directory, `/lib/modules/VERSION`.

    Raises:
        LabError: depmod was never run there.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            lines = (directory / "modules.dep").read_text().splitlines()
        except OSError as error:
            raise LabError(
                f"is no directory of kernel modules: {error.strerror}: {error.filename}",
                where=str(directory),
                hint="name what `make modules_install` made, /lib/modules/VERSION",
            ) from error
        entries = (line.partition(":") for line in lines)
        self._needs = {path: needed.split() for path, _, needed in entries}
        self._paths = {_name(path): path for path in self._needs}

    @property
    def version(self) -> str:
        """The kernel's release, as `uname -r` tells it."""
        return self.directory.name

    def in_order(self, names: Iterable[str]) -> list[Path]:
        """Lists modules and what they need, each after all that it needs.

        Those that are built into the kernel, or that it does not have, are left out.
        """
        found: dict[str, None] = {}
        for name in names:
            path = self._paths.get(name.replace("-", "_"))
            if path:
                # depmod lists what a module needs with the deepest last.
                found |= dict.fromkeys([*reversed(self._needs[path]), path])
        return [self.directory / path for path in found]

    def copy(self, into: Path) -> None:
        """Copies what a guest may want to load, and depmod's files, to `into/VERSION`."""
        target = into / self.version
        for path in dict.fromkeys(self._wanted()):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.directory / path, target / path)
        for index in self.directory.glob("modules.*"):
            shutil.copyfile(index, target / index.name)

    def _wanted(self) -> Iterator[str]:
        for module in self.in_order(BOOT):
            yield str(module.relative_to(self.directory))
        for path, needed in self._needs.items():
            folders = PurePosixPath(path)
            if any(map(folders.is_relative_to, _COPIED)) and not any(
                map(folders.is_relative_to, _LEFT_OUT)
            ):
                yield path
                yield from needed


def _name(path: str) -> str:
    """Names a module as the kernel does: `kernel/fs/ext4/ext4.ko.xz` is ext4."""
    return PurePosixPath(path).name.partition(".ko")[0].replace("-", "_")
