"""The handouts of runs in the store: where each was written, and its JSON file."""

from __future__ import annotations

import hashlib
import platform
import zlib
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, insert, select

from .database import Database
from .tables import HANDOUTS, RUNS

_MOST_BYTES = 64 << 20
"""Of the JSON file; what is cut there is refused as damaged."""


@dataclass(frozen=True)
class RecordedHandout:
    """A handout that the store knows.

    Attributes:
        number: Of its row.
        kind: "certificate" or "bundle".
        run: The id of its run.
        machine: The machine on which its directory is.
        directory: Its directory.
        digest: The SHA-256 of its JSON file.
    """

    number: int
    kind: str
    run: str
    machine: str
    directory: str
    digest: str


def record(database: Database, kind: str, run: str, content: bytes, directory: Path) -> bool:
    """Records a handout, in the place of one that was in the same directory.

    Args:
        database: The store.
        kind: "certificate" or "bundle".
        run: The id of its run.
        content: Its JSON file.
        directory: Where it was written.

    Returns:
        Whether it is recorded; not where the store does not have the run.

    Raises:
        LabError: The database fails.
    """
    place = {"kind": kind, "machine": platform.node(), "directory": str(directory.resolve())}
    packed = {
        "digest": hashlib.sha256(content).hexdigest(),
        "content": zlib.compress(content),
    }
    with database.writing() as connection:
        if connection.scalar(select(RUNS.c.number).where(RUNS.c.id == run)) is None:
            return False
        same = [HANDOUTS.c[name] == value for name, value in place.items()]
        connection.execute(delete(HANDOUTS).where(*same))
        connection.execute(insert(HANDOUTS).values(run=run, **place, **packed))
    return True


def handouts(database: Database) -> list[RecordedHandout]:
    """Returns the handouts of all runs, in the order in which they were recorded."""
    names = ("number", "kind", "run", "machine", "directory", "digest")
    asked = select(*(HANDOUTS.c[name] for name in names)).order_by(HANDOUTS.c.number)
    with database.reading() as connection:
        return [RecordedHandout(*row) for row in connection.execute(asked)]


def content(database: Database, number: int) -> bytes:
    """Returns the JSON file of a handout.

    Args:
        database: The store.
        number: Of its row.
    """
    asked = select(HANDOUTS.c.content).where(HANDOUTS.c.number == number)
    with database.reading() as connection:
        packed: bytes = connection.execute(asked).scalar_one()
    return zlib.decompressobj().decompress(packed, _MOST_BYTES)
