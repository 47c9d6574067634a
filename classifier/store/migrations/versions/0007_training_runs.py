"""Trainings and their figures, as they come."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

NOW = sa.text("now()")


def upgrade() -> None:
    op.create_table(
        "training_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("training_key", sa.Text(), nullable=False, comment="of what is trained: the same one goes on"),
        sa.Column("status", sa.Text(), server_default="running", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="1", nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False, comment="of all epochs"),
        sa.Column("epochs", sa.Integer(), nullable=False, comment="it may stop sooner"),
        sa.Column("step", sa.Integer(), server_default="0", nullable=False, comment="done"),
        sa.Column("epoch", sa.Integer(), server_default="1", nullable=False),
        sa.Column("loss", sa.Double(), comment="mean since the epoch's start"),
        sa.Column("seconds", sa.Double(), server_default="0", nullable=False, comment="spent, in all attempts"),
        sa.Column("seconds_left", sa.Double()),
        sa.Column("model_id", sa.BigInteger(), comment="what it became"),
        sa.Column("error", sa.Text(), comment="one line, where it failed"),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("last_heartbeat_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("status IN ('running', 'succeeded', 'failed')", name=op.f("ck_training_runs_status")),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_training_runs_model_id_models"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_runs")),
    )
    op.create_index(op.f("ix_training_runs_training_key_id"), "training_runs", ["training_key", "id"], unique=False)
    op.create_table(
        "training_metrics",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("loss", sa.Double(), nullable=False, comment="mean since the epoch's start"),
        sa.Column("accuracy", sa.Double(), comment="on the validation split, at an epoch's end"),
        sa.Column("macro_f1", sa.Double(), comment="on the validation split, at an epoch's end"),
        sa.Column("seconds", sa.Double(), nullable=False, comment="since the training's start, in all attempts"),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"],
            ["training_runs.id"],
            name=op.f("fk_training_metrics_run_id_training_runs"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("run_id", "step", name=op.f("pk_training_metrics")),
    )


def downgrade() -> None:
    op.drop_table("training_metrics")
    op.drop_table("training_runs")
