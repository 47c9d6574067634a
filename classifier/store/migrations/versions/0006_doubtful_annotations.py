"""Doubtful annotations in the review queue, and the articles that are drawn at random with them."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"

_FORMER_REASONS = "reason IN ('uncertain', 'diverse', 'rare', 'rewritten', 'split', 'audit')"
_FORMER_COMMENT = "why the model's prediction was chosen; audit: drawn at random"


def upgrade() -> None:
    op.drop_constraint(op.f("ck_review_queue_reason"), "review_queue")
    op.create_check_constraint(
        op.f("ck_review_queue_reason"),
        "review_queue",
        "reason IN ('uncertain', 'diverse', 'rare', 'rewritten', 'split', 'audit', 'doubtful', 'control')",
    )
    op.alter_column(
        "review_queue",
        "reason",
        comment="why the article was chosen; audit: drawn at random; control: drawn at random with doubtful ones",
    )


def downgrade() -> None:
    op.execute("DELETE FROM review_queue WHERE reason IN ('doubtful', 'control')")
    op.drop_constraint(op.f("ck_review_queue_reason"), "review_queue")
    op.create_check_constraint(op.f("ck_review_queue_reason"), "review_queue", _FORMER_REASONS)
    op.alter_column("review_queue", "reason", comment=_FORMER_COMMENT)


VIEWS: dict[str, str] = {}
"""No view changes."""
