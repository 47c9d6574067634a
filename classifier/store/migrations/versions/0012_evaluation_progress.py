"""Answers of an evaluation that has not ended, so that the next attempt continues after them; what was computed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.create_table(
        "evaluation_progress",
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "engine",
            sa.Text(),
            nullable=False,
            comment="what computed the answer, and how: the same gives the same bits",
        ),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False),
        sa.Column("gflops", sa.Double(), nullable=False, comment="computed for this text"),
        sa.Column("seconds", sa.Double(), nullable=False, comment="that it took: its share of its chunk's"),
        sa.Column("probabilities", postgresql.ARRAY(sa.REAL()), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["model_id"],
            ["models.id"],
            name=op.f("fk_evaluation_progress_model_id_models"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("model_id", "engine", "text_hash", name=op.f("pk_evaluation_progress")),
        comment="answers of evaluations that have not ended: the next attempt continues after them",
    )
    op.add_column(
        "evaluation_predictions",
        sa.Column("gflops", sa.Double(), comment="computed for the text; null: an older version did not count it"),
    )
    op.create_index(op.f("ix_evaluation_progress_answered_at"), "evaluation_progress", ["answered_at"], unique=False)


def downgrade() -> None:
    op.drop_column("evaluation_predictions", "gflops")
    op.drop_table("evaluation_progress")
