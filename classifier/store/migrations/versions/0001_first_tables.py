"""The first tables, and the view that analysts read."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

ARTICLE_LABELS = """
CREATE VIEW article_labels AS
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
    articles.published_at
FROM articles
LEFT JOIN LATERAL (
    SELECT category, annotated_at
    FROM annotations
    WHERE annotations.article_id = articles.id
    ORDER BY annotations.id DESC
    LIMIT 1
) AS annotated ON true
LEFT JOIN (
    SELECT predictions.*, models.name AS model
    FROM predictions
    JOIN models ON models.id = predictions.model_id AND models.status = 'champion'
) AS predicted ON predicted.article_id = articles.id AND predicted.revision = articles.revision
"""


def upgrade() -> None:
    op.create_table(
        "articles",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False, comment="sha256 of the text"),
        sa.Column(
            "fingerprint", sa.LargeBinary(), nullable=False, comment="sha256 of the text, case and white space folded"
        ),
        sa.Column(
            "revision", sa.Integer(), server_default="1", nullable=False, comment="grows by one when the text changes"
        ),
        sa.Column("split", sa.Text(), nullable=False, comment="decided when the article came, and never again"),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ingested_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("split IN ('train', 'validation', 'test')", name=op.f("ck_articles_split")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_articles")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_articles_source_external_id")),
    )
    op.create_index(op.f("ix_articles_fingerprint"), "articles", ["fingerprint"], unique=False)
    op.create_index(op.f("ix_articles_split"), "articles", ["split"], unique=False)
    op.create_table(
        "models",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), server_default="candidate", nullable=False),
        sa.Column("artefact", sa.Text(), nullable=False, comment="directory of the model's files"),
        sa.Column("manifest_sha256", sa.Text(), nullable=False),
        sa.Column(
            "categories",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="in the order of predictions.probabilities",
        ),
        sa.Column(
            "training",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="configuration, data, versions and history of the training",
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "backfilled_to",
            sa.BigInteger(),
            nullable=True,
            comment="articles up to this id were enqueued for this champion; null: all",
        ),
        sa.CheckConstraint("status IN ('candidate', 'champion', 'retired', 'rejected')", name=op.f("ck_models_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("name", name=op.f("uq_models_name")),
    )
    op.create_index(
        "uq_models_champion", "models", ["status"], unique=True, postgresql_where=sa.text("status = 'champion'")
    )
    op.create_table(
        "rejected_rows",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.Column("row_hash", sa.LargeBinary(), nullable=False, comment="sha256 of the row: the same one is kept once"),
        sa.Column("rejected_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejected_rows")),
        sa.UniqueConstraint("source", "position", "row_hash", name=op.f("uq_rejected_rows_source_position_row_hash")),
    )
    op.create_table(
        "splits",
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False, comment="of the articles that share the split"),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("split IN ('train', 'validation', 'test')", name=op.f("ck_splits_split")),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_splits")),
    )
    op.create_table(
        "annotations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("article_id", sa.BigInteger(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column(
            "annotator", sa.Text(), nullable=False, comment="a person's name, or source:NAME for a file's own category"
        ),
        sa.Column("annotated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("category <> ''", name=op.f("ck_annotations_category")),
        sa.ForeignKeyConstraint(
            ["article_id"], ["articles.id"], name=op.f("fk_annotations_article_id_articles"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotations")),
    )
    op.create_index(op.f("ix_annotations_article_id_id"), "annotations", ["article_id", "id"], unique=False)
    op.create_table(
        "dead_letters",
        sa.Column("article_id", sa.BigInteger(), nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("failed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["article_id"], ["articles.id"], name=op.f("fk_dead_letters_article_id_articles"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_dead_letters_model_id_models"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("article_id", "model_id", name=op.f("pk_dead_letters")),
    )
    op.create_table(
        "evaluations",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column(
            "data_sha256", sa.Text(), nullable=False, comment="of the ids, texts and annotations it was measured on"
        ),
        sa.Column("articles", sa.Integer(), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.Column("macro_f1", sa.Double(), nullable=False),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("evaluated_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("split IN ('train', 'validation', 'test')", name=op.f("ck_evaluations_split")),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_evaluations_model_id_models"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
    )
    op.create_index(op.f("ix_evaluations_model_id_id"), "evaluations", ["model_id", "id"], unique=False)
    op.create_table(
        "labelling_queue",
        sa.Column("article_id", sa.BigInteger(), nullable=False),
        sa.Column("priority", sa.SmallInteger(), nullable=False, comment="lower goes first: 0 new, 1 backfill"),
        sa.Column("enqueued_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["article_id"], ["articles.id"], name=op.f("fk_labelling_queue_article_id_articles"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("article_id", name=op.f("pk_labelling_queue")),
    )
    op.create_index(
        op.f("ix_labelling_queue_priority_article_id"), "labelling_queue", ["priority", "article_id"], unique=False
    )
    op.create_table(
        "predictions",
        sa.Column("article_id", sa.BigInteger(), nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False, comment="of the text that was labelled"),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("confidence", sa.REAL(), nullable=False),
        sa.Column("probabilities", postgresql.ARRAY(sa.REAL()), nullable=False),
        sa.Column("predicted_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["article_id"], ["articles.id"], name=op.f("fk_predictions_article_id_articles"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_predictions_model_id_models"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("article_id", "model_id", name=op.f("pk_predictions")),
    )
    op.create_table(
        "promotions",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("previous_id", sa.BigInteger(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False, comment="promoted or held"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("verdict IN ('promoted', 'held')", name=op.f("ck_promotions_verdict")),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_promotions_model_id_models")),
        sa.ForeignKeyConstraint(["previous_id"], ["models.id"], name=op.f("fk_promotions_previous_id_models")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotions")),
    )
    op.execute(ARTICLE_LABELS)
    op.execute(
        "COMMENT ON VIEW article_labels IS "
        "'An article''s label: its newest annotation, else the champion''s prediction for its present text'"
    )


def downgrade() -> None:
    op.execute("DROP VIEW article_labels")
    for table in (
        "predictions",
        "dead_letters",
        "labelling_queue",
        "rejected_rows",
        "evaluations",
        "promotions",
        "models",
        "annotations",
        "splits",
        "articles",
    ):
        op.drop_table(table)
