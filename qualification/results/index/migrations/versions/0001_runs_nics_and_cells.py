"""Runs, NICs and cells: the first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_FAILED = "verdict IN ('FAIL', 'LOSS', 'KNOWN')"


def upgrade() -> None:
    """Applies it."""
    op.create_table(
        "runs",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("started", sa.String(length=32), nullable=False),
        sa.Column("finished", sa.String(length=32), nullable=True),
        sa.Column("outcome", sa.String(length=32), nullable=False),
        sa.Column("plan", sa.String(length=16), nullable=False),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column("topology", sa.Text(), nullable=False),
        sa.Column("planned", sa.Integer(), nullable=False),
        sa.Column("selected", sa.Integer(), nullable=False),
        sa.Column("carried_out", sa.Integer(), nullable=False),
        sa.Column("rate", sa.Float(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("directory", sa.Text(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("number", name="pk_runs"),
        sa.UniqueConstraint("id", name="uq_runs_id"),
    )
    op.create_index("ix_runs_started", "runs", ["started"])

    op.create_table(
        "matrices",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run"], ["runs.number"], name="fk_matrices_run", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run", name="pk_matrices"),
    )
    op.create_table(
        "nics",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("pair", sa.Text(), nullable=False),
        sa.Column("role", sa.String(length=8), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("interface", sa.Text(), nullable=False),
        sa.Column("driver", sa.Text(), nullable=False),
        sa.Column("driver_version", sa.Text(), nullable=True),
        sa.Column("firmware", sa.Text(), nullable=False),
        sa.Column("pci_id", sa.String(length=32), nullable=True),
        sa.Column("serial", sa.Text(), nullable=True),
        sa.Column("bus", sa.Text(), nullable=True),
        sa.Column("kernel", sa.Text(), nullable=False),
        sa.Column("mtu", sa.Integer(), nullable=False),
        sa.Column("cells", sa.Integer(), nullable=False),
        sa.Column("passed", sa.Integer(), nullable=False),
        sa.Column("failed", sa.Integer(), nullable=False),
        sa.Column("known", sa.Integer(), nullable=False),
        sa.Column("not_judged", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.number"], name="fk_nics_run", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("number", name="pk_nics"),
    )
    op.create_index("ix_nics_driver", "nics", ["driver", "pci_id"])
    op.create_index("ix_nics_run", "nics", ["run"])

    op.create_table(
        "cells",
        sa.Column("nic", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("offload_set", sa.Text(), nullable=False),
        sa.Column("flow", sa.Text(), nullable=False),
        sa.Column("verdict", sa.String(length=16), nullable=False),
        sa.Column("frames", sa.Integer(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.Column("lost", sa.Integer(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=True),
        sa.Column("culprit", sa.Text(), nullable=True),
        sa.Column("evidence_line", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["nic"], ["nics.number"], name="fk_cells_nic", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("nic", "position", name="pk_cells"),
    )
    op.execute(f"CREATE INDEX ix_cells_failing ON cells (nic) WHERE {_FAILED}")


def downgrade() -> None:
    """Takes it back."""
    for table in ("cells", "nics", "matrices", "runs"):
        op.drop_table(table)
