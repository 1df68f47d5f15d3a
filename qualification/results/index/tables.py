"""The tables of the store.

A change here takes a migration in `migrations/versions/`; a test holds the two alike.
"""

from __future__ import annotations

from sqlalchemy import (
    DDL,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    event,
)

REVISION = "0002"
"""The newest migration; a database that is made new has its tables at once."""

FAILING = ("FAIL", "LOSS", "KNOWN")
"""Verdicts of cells in which the NIC fails (`comparison.model.FAILING`)."""

METADATA = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


def _of(table: str, *, key: bool = False, index: bool = False) -> Column[int]:
    """A reference to a row of another table, which goes when that row goes."""
    reference = ForeignKey(f"{table}.number", ondelete="CASCADE")
    name = table.removesuffix("s")
    return Column(name, Integer, reference, nullable=False, primary_key=key, index=index or None)


RUNS = Table(
    "runs",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("id", String(64), nullable=False, unique=True),
    Column("started", String(32), nullable=False, index=True),  # ISO 8601, UTC: sorts by time
    Column("finished", String(32)),
    Column("outcome", String(32), nullable=False),
    Column("plan", String(16), nullable=False),
    Column("version", String(64), nullable=False),
    Column("topology", Text, nullable=False),
    Column("planned", Integer, nullable=False),
    Column("selected", Integer, nullable=False),
    Column("carried_out", Integer, nullable=False),
    Column("rate", Float, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("machine", Text, nullable=False),  # on which the directory is
    Column("directory", Text, nullable=False),
    Column("digest", String(64), nullable=False),  # SHA-256 of its results
)

MATRICES = Table(
    "matrices",
    METADATA,
    _of("runs", key=True),
    Column("content", LargeBinary, nullable=False),  # matrix.json, by zlib
)

NICS = Table(
    "nics",
    METADATA,
    Column("number", Integer, primary_key=True),
    _of("runs", index=True),
    Column("pair", Text, nullable=False),
    Column("role", String(8), nullable=False),
    Column("host", Text, nullable=False),
    Column("interface", Text, nullable=False),
    Column("driver", Text, nullable=False),
    Column("driver_version", Text),
    Column("firmware", Text, nullable=False),
    Column("pci_id", String(32)),
    Column("serial", Text),
    Column("bus", Text),
    Column("kernel", Text, nullable=False),
    Column("mtu", Integer, nullable=False),
    # Of a DUT: its cells, and how they ended.
    Column("cells", Integer, nullable=False),
    Column("passed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("known", Integer, nullable=False),
    Column("not_judged", Integer, nullable=False),
    Index("ix_nics_driver", "driver", "pci_id"),
)

# Of a run by its id: its row is made anew when it is continued, and its handouts stay.
HANDOUTS = Table(
    "handouts",
    METADATA,
    Column("number", Integer, primary_key=True),
    Column("kind", String(16), nullable=False),  # "certificate" or "bundle"
    Column("run", String(64), nullable=False, index=True),
    Column("machine", Text, nullable=False),  # on which the directory is
    Column("directory", Text, nullable=False),
    Column("digest", String(64), nullable=False),  # SHA-256 of the JSON file
    Column("content", LargeBinary, nullable=False),  # that file, by zlib
)

CELLS = Table(
    "cells",
    METADATA,
    _of("nics", key=True),
    Column("position", Integer, primary_key=True),
    Column("offload_set", Text, nullable=False),
    Column("flow", Text, nullable=False),
    Column("verdict", String(16), nullable=False),
    Column("frames", Integer, nullable=False),
    Column("wrong", Integer, nullable=False),
    Column("lost", Integer, nullable=False),
    Column("signature", Text),
    Column("culprit", Text),
    Column("evidence_line", Integer),  # of evidence.jsonl in the run's directory
)
# The same text for SQLite and PostgreSQL. An `Index` with a condition for each would import both
# dialects, which takes as long as the rest of SQLAlchemy.
FAILING_INDEX = f"CREATE INDEX ix_cells_failing ON cells (nic) WHERE verdict IN {FAILING}"
event.listen(CELLS, "after_create", DDL(FAILING_INDEX))  # type: ignore[no-untyped-call]
