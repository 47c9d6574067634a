"""Every article's probabilities with an evaluation, the gate's findings with a decision, and pruned models."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0006"
down_revision = "0005"

VERDICTS = ("verdict IN ('promoted', 'held')", "verdict IN ('promoted', 'held', 'undecided', 'rolled back')")
STATUSES = (
    "status IN ('candidate', 'champion', 'retired', 'rejected')",
    "status IN ('candidate', 'champion', 'retired', 'rejected', 'pruned')",
)


def upgrade() -> None:
    op.create_table(
        "evaluation_predictions",
        sa.Column("evaluation_id", sa.BigInteger(), nullable=False),
        sa.Column("article_id", sa.BigInteger(), nullable=False),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False, comment="of the text that was measured on"),
        sa.Column("words", sa.Integer(), nullable=False, comment="of that text"),
        sa.Column("cluster_id", sa.BigInteger(), nullable=True, comment="of near-duplicates, where one was known"),
        sa.Column("category", sa.Text(), nullable=False, comment="as it was annotated then"),
        sa.Column("baseline", sa.Text(), nullable=False, comment="what the baseline predicted"),
        sa.Column("probabilities", postgresql.ARRAY(sa.REAL()), nullable=False),
        sa.ForeignKeyConstraint(
            ["evaluation_id"],
            ["evaluations.id"],
            name=op.f("fk_evaluation_predictions_evaluation_id_evaluations"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["article_id"],
            ["articles.id"],
            name=op.f("fk_evaluation_predictions_article_id_articles"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "article_id", name=op.f("pk_evaluation_predictions")),
    )
    op.add_column(
        "promotions",
        sa.Column(
            "statistics", postgresql.JSONB(), nullable=True, comment="what the gate found; null: it was not asked"
        ),
    )
    op.add_column("models", sa.Column("pruned_at", sa.DateTime(timezone=True), nullable=True))
    _constrain(VERDICTS[1], STATUSES[1])


def downgrade() -> None:
    op.execute("DELETE FROM promotions WHERE verdict IN ('undecided', 'rolled back')")
    op.execute("UPDATE models SET status = 'rejected' WHERE status = 'pruned'")
    _constrain(VERDICTS[0], STATUSES[0])
    op.drop_column("models", "pruned_at")
    op.drop_column("promotions", "statistics")
    op.drop_table("evaluation_predictions")


def _constrain(verdicts: str, statuses: str) -> None:
    for table, column, condition in (("promotions", "verdict", verdicts), ("models", "status", statuses)):
        name = op.f(f"ck_{table}_{column}")
        op.drop_constraint(name, table, type_="check")
        op.create_check_constraint(name, table, condition)
