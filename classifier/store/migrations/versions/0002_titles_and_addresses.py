"""Titles and web addresses of articles, and what is known of the ids of feeds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("articles", sa.Column("title", sa.Text(), comment="read by models before the text"))
    op.add_column("articles", sa.Column("url", sa.Text(), comment="web address of the article"))
    op.alter_column("articles", "revision", comment="incremented when text or title changes")
    op.add_column(
        "source_state",
        sa.Column(
            "shared_guids",
            postgresql.ARRAY(sa.Text()),
            comment="guids that several entries of the feed share, so they are not ids",
        ),
    )
    for definition in VIEWS.values():
        op.execute(definition)


def downgrade() -> None:
    op.execute("DROP VIEW article_labels")
    script = op.get_context().script
    assert script is not None
    op.execute(script.get_revision("0001").module.VIEWS["article_labels"])
    op.alter_column("articles", "revision", comment="incremented when the text changes")
    op.drop_column("articles", "url")
    op.drop_column("articles", "title")
    op.drop_column("source_state", "shared_guids")


VIEWS = {
    # OFFSET 0: the annotation of each article is looked up by the index.
    "article_labels": """
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
    END AS abstained,
    articles.title,
    articles.url
FROM articles
LEFT JOIN LATERAL (
    SELECT category, annotated_at
    FROM effective_annotations AS counts WHERE counts.article_id = articles.id OFFSET 0
) AS annotated ON true
LEFT JOIN (
    SELECT predictions.*, models.name AS model, models.threshold
    FROM predictions
    JOIN models ON models.id = predictions.model_id AND models.status = 'champion'
) AS predicted ON predicted.article_id = articles.id AND predicted.revision = articles.revision;
COMMENT ON VIEW article_labels IS
    'An article''s label: the annotation that counts, else the champion''s prediction on the present text'
""",
}
"""By name, as this migration defines them."""
