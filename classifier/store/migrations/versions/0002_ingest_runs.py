"""Runs of ingests, what has been read of each source, and where a rejected row came from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "ingest_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False, comment="a declared source's name, else the files as given"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "options",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="how files that no source declares were read",
        ),
        sa.Column("status", sa.Text(), server_default="running", nullable=False),
        sa.Column("files", sa.Integer(), server_default="0", nullable=False, comment="files, feeds or queries read"),
        sa.Column("read", sa.BigInteger(), server_default="0", nullable=False, comment="rows"),
        sa.Column("new", sa.BigInteger(), server_default="0", nullable=False, comment="rows inserted"),
        sa.Column("changed", sa.BigInteger(), server_default="0", nullable=False, comment="rows with another text"),
        sa.Column("unchanged", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rejected", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "duplicates", sa.BigInteger(), server_default="0", nullable=False, comment="duplicates: a later row won"
        ),
        sa.Column("error", sa.Text(), nullable=True, comment="one line, where it failed"),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("status IN ('running', 'succeeded', 'failed')", name=op.f("ck_ingest_runs_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ingest_runs")),
    )
    op.create_index(op.f("ix_ingest_runs_source_id"), "ingest_runs", ["source", "id"], unique=False)
    op.create_table(
        "source_state",
        sa.Column("source", sa.Text(), nullable=False, comment="a declared source's name"),
        sa.Column("unit", sa.Text(), nullable=False, comment="a file's path, a feed's address, or query"),
        sa.Column(
            "config_sha256", sa.LargeBinary(), nullable=False, comment="sha256 of how it was read: another, read again"
        ),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("modified_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sha256", sa.LargeBinary(), nullable=True, comment="of the file, or of the feed's document"),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("last_modified", sa.Text(), nullable=True, comment="as the feed's server wrote it"),
        sa.Column("watermark", postgresql.JSONB(astext_type=sa.Text()), nullable=True, comment="kind and value"),
        sa.Column("seen_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("source", "unit", name=op.f("pk_source_state")),
    )
    op.add_column("rejected_rows", sa.Column("run_id", sa.BigInteger(), nullable=True))
    op.add_column(
        "rejected_rows",
        sa.Column("unit", sa.Text(), nullable=True, comment="a file's path, a feed's address, or query"),
    )
    op.create_foreign_key(
        op.f("fk_rejected_rows_run_id_ingest_runs"), "rejected_rows", "ingest_runs", ["run_id"], ["id"]
    )
    op.create_index(op.f("ix_rejected_rows_unit"), "rejected_rows", ["unit"], unique=False)
    op.create_index(op.f("ix_rejected_rows_run_id"), "rejected_rows", ["run_id"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_rejected_rows_run_id"), "rejected_rows")
    op.drop_index(op.f("ix_rejected_rows_unit"), "rejected_rows")
    op.drop_constraint(op.f("fk_rejected_rows_run_id_ingest_runs"), "rejected_rows")
    op.drop_column("rejected_rows", "unit")
    op.drop_column("rejected_rows", "run_id")
    op.drop_table("source_state")
    op.drop_table("ingest_runs")
