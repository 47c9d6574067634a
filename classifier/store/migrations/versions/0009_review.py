"""The review queue; annotations with comments and decisions; a person's annotation before a source's."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

OPINIONS = """
CREATE VIEW annotation_opinions AS
SELECT DISTINCT ON (article_id, annotator) article_id, annotator, category, comment, annotated_at
FROM (
    SELECT annotations.*, max(id) FILTER (WHERE is_resolution) OVER (PARTITION BY article_id) AS decision
    FROM annotations
    WHERE annotator NOT LIKE 'source:%'
) AS by_people
WHERE id >= coalesce(decision, 0)
ORDER BY article_id, annotator, id DESC
"""

CONFLICTS = """
CREATE VIEW annotation_conflicts AS
SELECT article_id
FROM annotation_opinions
GROUP BY article_id
HAVING min(category) <> max(category)
"""

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
    articles.published_at,
    CASE
        WHEN annotated.category IS NOT NULL THEN false
        ELSE predicted.confidence < coalesce(predicted.threshold, 0)
    END AS abstained
FROM articles
LEFT JOIN LATERAL (
    SELECT category, annotated_at
    FROM annotations
    WHERE annotations.article_id = articles.id
    ORDER BY {order}
    LIMIT 1
) AS annotated ON true
LEFT JOIN (
    SELECT predictions.*, models.name AS model, models.threshold
    FROM predictions
    JOIN models ON models.id = predictions.model_id AND models.status = 'champion'
) AS predicted ON predicted.article_id = articles.id AND predicted.revision = articles.revision
"""
COMMENTS = {
    "annotation_opinions": "What each person said last of an article, since it was decided where it was",
    "annotation_conflicts": "Articles on which people disagree: nobody trains or tests on them",
}
PEOPLE_FIRST = "annotations.annotator LIKE 'source:%', annotations.id DESC"


def upgrade() -> None:
    op.add_column("annotations", sa.Column("comment", sa.Text()))
    op.add_column(
        "annotations",
        sa.Column(
            "is_resolution",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="settles what people said of it before",
        ),
    )
    op.create_index(
        "ix_annotations_by_people",
        "annotations",
        ["article_id", "id"],
        postgresql_where=sa.text("annotator NOT LIKE 'source:%'"),
    )
    op.create_index(op.f("ix_bridges_cluster_id"), "bridges", ["cluster_id"])
    _create_queue()
    op.execute(sa.text(OPINIONS))
    op.execute(sa.text(CONFLICTS))
    for view, comment in COMMENTS.items():
        op.execute(f"COMMENT ON VIEW {view} IS '{comment}'")
    op.execute(sa.text(ARTICLE_LABELS.format(order=PEOPLE_FIRST)))


def _create_queue() -> None:
    op.create_table(
        "review_queue",
        sa.Column("article_id", sa.BigInteger(), nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "revision", sa.Integer(), autoincrement=False, nullable=False, comment="of the text that was labelled"
        ),
        sa.Column("reason", sa.Text(), nullable=False, comment="chosen by the model, or audit: drawn at random"),
        sa.Column("category", sa.Text(), nullable=False, comment="as the model predicted then"),
        sa.Column("confidence", sa.REAL(), nullable=False),
        sa.Column("queued_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("reason IN ('uncertain', 'diverse', 'rare', 'audit')", name=op.f("ck_review_queue_reason")),
        sa.ForeignKeyConstraint(
            ["article_id"], ["articles.id"], name=op.f("fk_review_queue_article_id_articles"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_review_queue_model_id_models")),
        sa.PrimaryKeyConstraint("article_id", "model_id", "revision", "reason", name=op.f("pk_review_queue")),
    )
    op.create_index(op.f("ix_review_queue_model_id_queued_at"), "review_queue", ["model_id", "queued_at"])


def downgrade() -> None:
    op.execute(sa.text(ARTICLE_LABELS.format(order="annotations.id DESC")))
    op.execute("DROP VIEW annotation_conflicts")
    op.execute("DROP VIEW annotation_opinions")
    op.drop_table("review_queue")
    op.drop_index(op.f("ix_bridges_cluster_id"), table_name="bridges")
    op.drop_index("ix_annotations_by_people", table_name="annotations")
    op.drop_column("annotations", "is_resolution")
    op.drop_column("annotations", "comment")
