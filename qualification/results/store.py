"""Writes a run to its directory, entry by entry; `run_directory` reads it back.

A run may be killed at any moment, or its machine lose its power, and what it has stored until then
is good: entries are whole lines that are only ever appended, and `run.json` appears as a whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from qualification.campaign import Campaign
from qualification.plan.cells import Cell

from . import files
from .conclusion import RunEnd, Selection
from .run_files import EVIDENCE, RUN, SCHEMA, EndEntry, ResumedEntry, dump_entry

_CELLS = TypeAdapter(tuple[Cell, ...])
_EVERYTHING = Selection()
_UNKNOWN_END = RunEnd()
_SYNC_SHARE = 0.01
"""Share of the time of a run that fsync(2) may take. A power cut takes the entries since the last
one; the end of the process takes none."""


class Store:
    """Writes a run, entry by entry.

    Args:
        directory: The run's directory, which exists.
        clock: Returns the time in seconds.
    """

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._directory, self._clock = directory, clock
        self._file = -1
        self._lines = 0
        self._next_sync = 0.0

    def begin(
        self, campaign: Campaign, cells: Sequence[Cell], selection: Selection = _EVERYTHING
    ) -> None:
        """Writes what was asked; `cells` are those that `selection` left.

        Raises:
            OSError: It cannot be written; later calls write nothing.
        """
        self._open(os.O_CREAT | os.O_EXCL)
        self._append([{"kind": "head", "schema": SCHEMA, "run": campaign.run_id}], sync=True)
        self.ask(campaign, cells, selection)  # last: where this file is, the other has its head

    def ask(
        self, campaign: Campaign, cells: Sequence[Cell], selection: Selection = _EVERYTHING
    ) -> None:
        """Writes what is asked, in place of what was asked before; arguments as for `begin`.

        Raises:
            OSError: It cannot be written; later calls write nothing.
        """
        document = {
            "schema": SCHEMA,
            "campaign": campaign.dump(),
            "selection": asdict(selection),
            "cells": _CELLS.dump_python(tuple(cells), mode="json"),
        }
        with self._until_full():
            files.replace(self._directory / RUN, json.dumps(document).encode() + b"\n")

    def resume(self, lines: int, size: int, entry: ResumedEntry) -> None:
        """Goes on with a run that was stored, and says so in a line.

        Args:
            lines: The whole lines of its evidence.
            size: Their bytes; what comes after them is half a line, and is cut off.
            entry: Says who goes on.

        Raises:
            OSError: It cannot be written; later calls write nothing.
        """
        self._open(0)
        self._lines = lines
        with self._until_full():
            os.ftruncate(self._file, size)
        self._append([dump_entry(entry)], sync=True)

    def add(self, *dumped: Mapping[str, Any]) -> None:
        """Appends entries dumped by `dump_entry`; does nothing if no run has begun.

        Raises:
            OSError: They cannot be written; none of them is, and later calls write nothing.
        """
        if self._file >= 0 and dumped:
            self._append(dumped)

    def end(self, run: RunEnd = _UNKNOWN_END) -> None:
        """Writes the last line, which says that the file is complete, and how the run ended.

        Raises:
            OSError: It cannot be written; the run is an interrupted one then.
        """
        if self._file >= 0:
            self._append([dump_entry(EndEntry(self._lines - 1, run))], sync=True)
            self._close()

    def _open(self, flags: int) -> None:
        self._file = os.open(
            self._directory / EVIDENCE,
            os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | flags,
            0o600,
        )

    def _close(self) -> None:
        os.close(self._file)
        self._file = -1

    def _append(self, some: Iterable[Mapping[str, Any]], *, sync: bool = False) -> None:
        lines = [
            json.dumps({"n": number, **entry}).encode() + b"\n"
            for number, entry in enumerate(some, self._lines + 1)
        ]
        before = os.fstat(self._file).st_size
        with self._until_full(before):
            files.write_all(self._file, b"".join(lines))
            now = self._clock()
            if sync or now >= self._next_sync:
                os.fsync(self._file)
                after = self._clock()
                self._next_sync = after + (after - now) / _SYNC_SHARE
        self._lines += len(lines)

    @contextlib.contextmanager
    def _until_full(self, size: int | None = None) -> Iterator[None]:
        """Closes the file if writing fails, after cutting it to a size: no half line stays."""
        try:
            yield
        except OSError:
            if size is not None:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, size)
            self._close()
            raise
