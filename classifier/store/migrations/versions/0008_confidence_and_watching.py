"""Each model's temperature and threshold, abstention in the view, and what was watched.

Models that are there keep temperature 1 and no threshold: what they said stays as it is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"

NOW = sa.text("now()")
SHARES = (
    ("category_drift", "of the categories predicted then and now: Jensen-Shannon distance, 0 to 1"),
    ("length_drift", "the same for the texts' lengths"),
    ("confidence_drift", "the same for confidence"),
    ("confidence", "mean"),
    ("abstained", "share of the articles"),
    ("estimated_accuracy", "told from confidence"),
    ("audited_accuracy", "share of the audited articles that was right"),
)

# The columns before `abstained` are those of the first migration: CREATE OR REPLACE keeps what was granted on the
# view, and can only add at the end.
ARTICLE_LABELS = """
CREATE OR REPLACE VIEW article_labels AS
SELECT
    articles.id AS article_id,
    articles.source,
    articles.external_id,
    coalesce(annotated.category, predicted.category) AS label,
    CASE
        WHEN annotated.category IS NOT NULL THEN 'annotation'
        WHEN predicted.category IS NOT NULL THEN 'prediction'
    END AS origin,
    CASE WHEN annotated.category IS NULL THEN predicted.confidence END AS confidence,
    coalesce(annotated.annotated_at, predicted.predicted_at) AS labelled_at,
    CASE WHEN annotated.category IS NULL THEN predicted.model END AS model,
    articles.split,
    articles.published_at{abstained}
FROM articles
LEFT JOIN LATERAL (
    SELECT category, annotated_at
    FROM annotations
    WHERE annotations.article_id = articles.id
    ORDER BY annotations.id DESC
    LIMIT 1
) AS annotated ON true
LEFT JOIN (
    SELECT predictions.*, models.name AS model{threshold}
    FROM predictions
    JOIN models ON models.id = predictions.model_id AND models.status = 'champion'
) AS predicted ON predicted.article_id = articles.id AND predicted.revision = articles.revision
"""
ABSTAINED = """,
    CASE
        WHEN annotated.category IS NOT NULL THEN false
        ELSE predicted.confidence < coalesce(predicted.threshold, 0)
    END AS abstained"""


def upgrade() -> None:
    for column in (
        sa.Column("temperature", sa.Double(), server_default="1", nullable=False, comment="1: not calibrated"),
        sa.Column("threshold", sa.REAL(), comment="of confidence, below which it abstains; null: it never does"),
        sa.Column("confidence", postgresql.JSONB(), comment="what the two were chosen on, and what they reached there"),
    ):
        op.add_column("models", column)
    op.execute(ARTICLE_LABELS.format(abstained=ABSTAINED, threshold=", models.threshold"))
    op.create_table(
        "drift_runs",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("ran_at", sa.DateTime(timezone=True), server_default=NOW, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), comment="when the first of the articles came"),
        sa.Column("articles", sa.Integer(), nullable=False, comment="looked at, which the champion had labelled"),
        sa.Column("audited", sa.Integer(), nullable=False, comment="articles drawn at random and reviewed"),
        *(sa.Column(name, sa.Double(), comment=comment) for name, comment in SHARES),
        sa.Column("findings", postgresql.JSONB(), nullable=False, comment="every check, with its figures"),
        sa.Column("alarms", postgresql.ARRAY(sa.Text()), nullable=False, comment="the checks that gave alarm"),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_watch_runs_model_id_models"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_watch_runs")),
    )
    op.create_index(op.f("ix_watch_runs_model_id_id"), "drift_runs", ["model_id", "id"], unique=False)


def downgrade() -> None:
    op.drop_table("drift_runs")
    op.execute("DROP VIEW article_labels")
    op.execute(ARTICLE_LABELS.format(abstained="", threshold=""))
    for name in ("confidence", "threshold", "temperature"):
        op.drop_column("models", name)
