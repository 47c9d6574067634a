"""Erased articles, the ingest run that brought each row, and retracted annotations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    _erasures()
    op.add_column("articles", sa.Column("run_id", sa.BigInteger(), comment="ingest run that inserted the article"))
    op.add_column(
        "articles",
        sa.Column("changed_run_id", sa.BigInteger(), comment="ingest run of the last change of the text; null: none"),
    )
    op.add_column(
        "annotations",
        sa.Column("run_id", sa.BigInteger(), comment="ingest run that brought a source's annotation; null: a person's"),
    )
    op.add_column(
        "annotations",
        sa.Column("retracted_at", sa.DateTime(timezone=True), comment="null: the annotation was not retracted"),
    )
    op.add_column("annotations", sa.Column("retracted_by", sa.Text()))
    for name, comment in (
        ("erased", "rows left out, because their articles were erased"),
        ("other_split", "rows with another split than their article has; it keeps its split"),
    ):
        column = sa.Column(name, sa.BigInteger(), server_default="0", nullable=False, comment=comment)
        op.add_column("ingest_runs", column)
    op.add_column(
        "ingest_runs",
        sa.Column("undone_at", sa.DateTime(timezone=True), comment="null: the run was not undone"),
    )
    op.create_index(op.f("ix_evaluation_predictions_article_id"), "evaluation_predictions", ["article_id"])
    for definition in VIEWS.values():
        op.execute(definition.replace("CREATE VIEW", "CREATE OR REPLACE VIEW"))


def downgrade() -> None:
    op.execute(FORMER_VIEW)
    op.drop_index(op.f("ix_evaluation_predictions_article_id"), "evaluation_predictions")
    for table, columns in {
        "ingest_runs": ("undone_at", "other_split", "erased"),
        "annotations": ("retracted_by", "retracted_at", "run_id"),
        "articles": ("changed_run_id", "run_id"),
    }.items():
        for column in columns:
            op.drop_column(table, column)
    for table in ("erased_articles", "erasures", "erasure_key"):
        op.drop_table(table)


def _erasures() -> None:
    op.create_table(
        "erasure_key",
        sa.Column("id", sa.SmallInteger(), server_default="1", nullable=False, comment="always 1: there is one key"),
        sa.Column("key", sa.LargeBinary(), comment="random; null: the key is the setting CLASSIFIER_ERASURE_KEY"),
        sa.Column("key_check", sa.LargeBinary(), nullable=False, comment="HMAC by which a wrong key is noticed"),
        sa.CheckConstraint("id = 1", name=op.f("ck_erasure_key_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasure_key")),
        comment="key of the digests of erased articles",
    )
    op.create_table(
        "erasures",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("selection", sa.Text(), nullable=False, comment="how the articles were named"),
        sa.Column("requested_by", sa.Text(), nullable=False, comment="account on the machine"),
        sa.Column("articles", sa.BigInteger(), server_default="0", nullable=False, comment="erased articles"),
        sa.Column("rows", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="deleted rows by table"),
        sa.Column(
            "models", postgresql.ARRAY(sa.Text()), nullable=False, comment="models that were trained on the articles"
        ),
        sa.Column("requested_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), comment="null: the erasure was interrupted"),
        sa.CheckConstraint("selection IN ('id', 'source', 'query', 'replay')", name=op.f("ck_erasures_selection")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_erasures")),
        comment="receipts: neither ids nor texts",
    )
    op.create_table(
        "erased_articles",
        sa.Column("digest", sa.LargeBinary(), nullable=False, comment="keyed hash of source and id, or of the text"),
        sa.Column("erasure_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasures.id"], name=op.f("fk_erased_articles_erasure_id_erasures")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_erased_articles")),
        comment="digests that keep erased articles from being ingested again",
    )
    op.create_index(op.f("ix_erased_articles_erasure_id"), "erased_articles", ["erasure_id"])


VIEWS = {
    # The annotations that hold for their article's present text, and that were not retracted.
    "annotations_in_force": """
CREATE VIEW annotations_in_force AS
SELECT
    annotations.id, annotations.article_id, annotations.revision, annotations.category, annotations.annotator,
    annotations.annotated_at, annotations.comment, annotations.is_resolution
FROM annotations
LEFT JOIN articles AS replaced
    ON replaced.id = annotations.article_id
    AND replaced.content_revision > annotations.revision
    AND replaced.content_revision > 1
WHERE replaced.id IS NULL AND annotations.retracted_at IS NULL;
COMMENT ON VIEW annotations_in_force IS
    'Annotations that hold for their article''s present text, and were not retracted'
""",
}
"""By name."""

FORMER_VIEW = """
CREATE OR REPLACE VIEW annotations_in_force AS
SELECT
    annotations.id, annotations.article_id, annotations.revision, annotations.category, annotations.annotator,
    annotations.annotated_at, annotations.comment, annotations.is_resolution
FROM annotations
LEFT JOIN articles AS replaced
    ON replaced.id = annotations.article_id
    AND replaced.content_revision > annotations.revision
    AND replaced.content_revision > 1
WHERE replaced.id IS NULL;
COMMENT ON VIEW annotations_in_force IS 'Annotations that hold for their article''s present text'
"""
