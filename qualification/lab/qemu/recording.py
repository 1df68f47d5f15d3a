"""What was on the wire, recorded by QEMU where a NIC's frames leave and enter it.

`filter-dump` sits between the emulated NIC and the socket that is its cable, so its file shows
what the model put on the wire and what reached it, whatever the guests' kernels make of that.
Recordings come and go while the guests run: all frames of a plan would fill a disk.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .qmp import connected

_LONGEST = 65535
"""Bytes of a frame that are kept; no frame is longer."""


@dataclass(frozen=True)
class WireTap:
    """Where the wire of one NIC can be recorded. Its fields are plain, so it can be handed on.

    Attributes:
        netdev: QEMU's id of its back end.
        control: The control socket of the QEMU that has it.
    """

    netdev: str
    control: str

    def begin(self, file: Path) -> None:
        """Begins a recording; the NIC must not be recorded already.

        Args:
            file: The capture file, in pcap form. What is there is overwritten.

        Raises:
            LabError: QEMU refuses or has ended.
        """
        with connected(Path(self.control)) as monitor:
            monitor.command(
                "object-add", qom_type="filter-dump", id=self._id, netdev=self.netdev,
                file=str(file.absolute()), maxlen=_LONGEST,
            )  # fmt: skip

    def end(self) -> None:
        """Ends the recording; its file is complete then.

        Raises:
            LabError: There is none, or QEMU has ended.
        """
        with connected(Path(self.control)) as monitor:
            monitor.command("object-del", id=self._id)

    @contextlib.contextmanager
    def recording(self, file: Path) -> Iterator[Path]:
        """Records while the block runs; raises as `begin` and `end` do."""
        self.begin(file)
        try:
            yield file
        finally:
            self.end()

    @property
    def _id(self) -> str:
        return f"record-{self.netdev}"
