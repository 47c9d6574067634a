"""The revision that each annotation is of, and which annotations hold for an article's present text.

Of annotations that are there already only the time is known. Those made before the last change of a text get the
revision before it, and still hold: how much the text changed is not known any more.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

IN_FORCE = """
CREATE VIEW annotations_in_force AS
SELECT
    annotations.id, annotations.article_id, annotations.revision, annotations.category, annotations.annotator,
    annotations.annotated_at, annotations.comment, annotations.is_resolution
FROM annotations
LEFT JOIN articles AS replaced
    ON replaced.id = annotations.article_id
    AND replaced.content_revision > annotations.revision
    AND replaced.content_revision > 1
WHERE replaced.id IS NULL
"""

EFFECTIVE = """
CREATE VIEW effective_annotations AS
SELECT DISTINCT ON (article_id) article_id, revision, category, annotator, annotated_at
FROM annotations_in_force
ORDER BY article_id, annotator LIKE 'source:%', id DESC
"""

OPINIONS = """
CREATE OR REPLACE VIEW annotation_opinions AS
SELECT DISTINCT ON (article_id, annotator) article_id, annotator, category, comment, annotated_at
FROM (
    SELECT
        id, article_id, annotator, category, comment, annotated_at,
        max(id) FILTER (WHERE is_resolution) OVER (PARTITION BY article_id) AS decision
    FROM {table}
    WHERE annotator NOT LIKE 'source:%'
) AS by_people
WHERE id >= coalesce(decision, 0)
ORDER BY article_id, annotator, id DESC
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
    FROM {annotated}
) AS annotated ON true
LEFT JOIN (
    SELECT predictions.*, models.name AS model, models.threshold
    FROM predictions
    JOIN models ON models.id = predictions.model_id AND models.status = 'champion'
) AS predicted ON predicted.article_id = articles.id AND predicted.revision = articles.revision
"""

LOOKED_UP = "effective_annotations AS counts WHERE counts.article_id = articles.id OFFSET 0"
FORMER = """annotations
    WHERE annotations.article_id = articles.id
    ORDER BY annotations.annotator LIKE 'source:%', annotations.id DESC
    LIMIT 1"""

COMMENTS = {
    "VIEW annotations_in_force": "Annotations that hold for their article''s present text",
    "VIEW effective_annotations": "The annotation that counts: a person''s before a source''s, the newest first",
    "VIEW annotation_opinions": "What each person said last of an article''s present text, since the last decision",
    "VIEW article_labels": "An article''s label: the annotation that counts, else the champion''s prediction",
}

BEFORE_THE_LAST_CHANGE = """
UPDATE annotations
SET revision = CASE WHEN annotated_at < changed_at THEN articles.revision - 1 ELSE articles.revision END
FROM articles
WHERE articles.id = article_id AND articles.revision > 1
"""

REASONS = ("'uncertain', 'diverse', 'rare', 'audit'", "'uncertain', 'diverse', 'rare', 'rewritten', 'audit'")


def upgrade() -> None:
    for column in (
        sa.Column(
            "content_revision",
            sa.Integer(),
            server_default="1",
            nullable=False,
            comment="when the text became another one; annotations of earlier revisions do not hold",
        ),
        sa.Column(
            "content_sketch",
            sa.LargeBinary(),
            comment="of the text at content_revision, where small changes followed",
        ),
    ):
        op.add_column("articles", column)
    op.create_index(
        "ix_articles_replaced",
        "articles",
        ["id", "content_revision"],
        postgresql_where=sa.text("content_revision > 1"),
    )
    op.add_column(
        "annotations",
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False, comment="of the text annotated"),
    )
    op.execute(BEFORE_THE_LAST_CHANGE)
    op.alter_column("annotations", "revision", server_default=None)
    op.execute(IN_FORCE)
    op.execute(sa.text(EFFECTIVE))
    op.execute(sa.text(OPINIONS.format(table="annotations_in_force")))
    op.execute(sa.text(ARTICLE_LABELS.format(annotated=LOOKED_UP)))
    for thing, comment in COMMENTS.items():
        op.execute(f"COMMENT ON {thing} IS '{comment}'")
    _allow(REASONS[1])


def downgrade() -> None:
    op.execute("DELETE FROM review_queue WHERE reason = 'rewritten'")
    _allow(REASONS[0])
    op.execute(sa.text(OPINIONS.format(table="annotations")))
    op.execute(sa.text(ARTICLE_LABELS.format(annotated=FORMER)))
    op.execute("DROP VIEW effective_annotations")
    op.execute("DROP VIEW annotations_in_force")
    op.drop_column("annotations", "revision")
    op.drop_index("ix_articles_replaced", table_name="articles")
    op.drop_column("articles", "content_sketch")
    op.drop_column("articles", "content_revision")


def _allow(reasons: str) -> None:
    name = op.f("ck_review_queue_reason")
    op.drop_constraint(name, "review_queue", type_="check")
    op.create_check_constraint(name, "review_queue", f"reason IN ({reasons})")
