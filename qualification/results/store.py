"""Writes a run to its directory, entry by entry; `run_directory` reads it back."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from qualification.campaign import Campaign
from qualification.plan.cells import Cell

from .gate import RunEnd, Selection
from .run_files import EVIDENCE, RUN, SCHEMA, EndEntry, dump_entry

_CELLS = TypeAdapter(tuple[Cell, ...])
_EVERYTHING = Selection()
_UNKNOWN_END = RunEnd()


class Store:
    """Writes a run, entry by entry.

    Args:
        directory: The run's directory, which exists.
    """

    def __init__(self, directory: Path) -> None:
        self._run, self._evidence = directory / RUN, directory / EVIDENCE
        self._entries: int | None = None

    def begin(
        self, campaign: Campaign, cells: Sequence[Cell], selection: Selection = _EVERYTHING
    ) -> None:
        """Writes what was asked; `cells` are those that `selection` left."""
        document = {
            "schema": SCHEMA,
            "campaign": campaign.dump(),
            "selection": asdict(selection),
            "cells": _CELLS.dump_python(tuple(cells), mode="json"),
        }
        self._run.write_text(json.dumps(document) + "\n", encoding="utf-8")
        head = {"kind": "head", "schema": SCHEMA, "run": campaign.run_id}
        self._evidence.write_text(json.dumps(head) + "\n", encoding="utf-8")
        self._entries = 0

    def add(self, dumped: Mapping[str, Any]) -> None:
        """Appends an entry dumped by `dump_entry`; does nothing if no run has begun."""
        if self._entries is not None:
            self._append(dumped)
            self._entries += 1

    def end(self, run: RunEnd = _UNKNOWN_END) -> None:
        """Writes the last line, which says that the file is complete, and how the run ended."""
        if self._entries is not None:
            self._append(dump_entry(EndEntry(self._entries, run)))
            self._entries = None

    def _append(self, line: Mapping[str, Any]) -> None:
        with self._evidence.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
