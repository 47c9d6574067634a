"""The tables, indexes and views."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None

QUEUE_STORAGE = {
    "autovacuum_vacuum_scale_factor": "0",
    "autovacuum_vacuum_threshold": "10000",
    "autovacuum_vacuum_insert_scale_factor": "0",
    "autovacuum_vacuum_insert_threshold": "50000",
    "autovacuum_vacuum_cost_delay": "0",
    "autovacuum_analyze_scale_factor": "0",
    "autovacuum_analyze_threshold": "10000",
}
"""Vacuum by the number of deleted rows, not by their share: a claim reads all dead rows before the first live one.

The queue's rows are rarely updated, so a fillfactor below 100 would only leave its blocks half empty.
"""


def upgrade() -> None:
    for create_table in CREATE_TABLE.values():
        create_table()
    # Postgres' compression would save a quarter of the space and take two thirds of the time of a COPY.
    op.execute("ALTER TABLE articles ALTER COLUMN text SET STORAGE EXTERNAL")
    settings = ", ".join(f"{name} = {value}" for name, value in QUEUE_STORAGE.items())
    op.execute(f"ALTER TABLE labelling_queue SET ({settings})")
    for definition in VIEWS.values():
        op.execute(definition)


def downgrade() -> None:
    for view in reversed(VIEWS):
        op.execute(f"DROP VIEW {view}")
    for table in reversed(CREATE_TABLE):
        op.drop_table(table)


def _identity() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False)


def _now(name: str) -> sa.Column[datetime]:
    return sa.Column(name, sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False)


def _articles() -> None:
    op.create_table(
        "articles",
        _identity(),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("external_id", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False, comment="sha256 of the text"),
        sa.Column(
            "fingerprint", sa.LargeBinary(), nullable=False, comment="sha256 of the text, case and white space folded"
        ),
        sa.Column(
            "revision", sa.Integer(), server_default="1", nullable=False, comment="incremented when the text changes"
        ),
        sa.Column("split", sa.Text(), nullable=False, comment="decided once, when the article is inserted"),
        sa.Column("published_at", sa.DateTime(timezone=True)),
        _now("ingested_at"),
        _now("changed_at"),
        sa.Column(
            "content_revision",
            sa.Integer(),
            server_default="1",
            nullable=False,
            comment="revision of the last change of content",
        ),
        sa.Column(
            "content_sketch", sa.LargeBinary(), comment="of the text at content_revision, if small changes followed"
        ),
        sa.CheckConstraint("split IN ('train', 'validation', 'test')", name=op.f("ck_articles_split")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_articles")),
        sa.UniqueConstraint("source", "external_id", name=op.f("uq_articles_source_external_id")),
    )
    op.create_index(op.f("ix_articles_fingerprint"), "articles", ["fingerprint"])
    op.create_index(
        "ix_articles_replaced", "articles", ["id", "content_revision"], postgresql_where=sa.text("content_revision > 1")
    )
    op.create_index(op.f("ix_articles_split"), "articles", ["split"])


def _splits() -> None:
    op.create_table(
        "splits",
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False, comment="of the articles' text"),
        sa.Column("split", sa.Text(), nullable=False),
        _now("decided_at"),
        sa.Column(
            "cluster_id",
            sa.BigInteger(),
            comment="cluster of near-duplicates that gave the split; null: not clustered yet",
        ),
        sa.CheckConstraint("split IN ('train', 'validation', 'test')", name=op.f("ck_splits_split")),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_splits")),
    )
    op.create_index(op.f("ix_splits_cluster_id"), "splits", ["cluster_id"])


def _clusters() -> None:
    op.create_table(
        "clusters",
        sa.Column(
            "id", sa.BigInteger(), autoincrement=False, nullable=False, comment="first 8 bytes of its first fingerprint"
        ),
        sa.Column("split", sa.Text(), nullable=False, comment="of all texts of the cluster; decided once"),
        _now("created_at"),
        sa.CheckConstraint("split IN ('train', 'validation', 'test')", name=op.f("ck_clusters_split")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clusters")),
    )


def _cluster_bands() -> None:
    op.create_table(
        "cluster_bands",
        sa.Column(
            "band",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="hash of a band of a MinHash signature",
        ),
        sa.Column("cluster_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("band", name=op.f("pk_cluster_bands")),
    )


def _cluster_bridges() -> None:
    op.create_table(
        "cluster_bridges",
        sa.Column(
            "fingerprint", sa.LargeBinary(), nullable=False, comment="of a text that is near texts of several clusters"
        ),
        sa.Column(
            "cluster_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="a further cluster of the text"
        ),
        sa.PrimaryKeyConstraint("fingerprint", "cluster_id", name=op.f("pk_cluster_bridges")),
    )
    op.create_index(op.f("ix_cluster_bridges_cluster_id"), "cluster_bridges", ["cluster_id"])


def _annotations() -> None:
    op.create_table(
        "annotations",
        _identity(),
        sa.Column("article_id", sa.BigInteger(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("annotator", sa.Text(), nullable=False, comment="a person's name, or source:NAME for a source"),
        _now("annotated_at"),
        sa.Column("comment", sa.Text()),
        sa.Column(
            "is_resolution",
            sa.Boolean(),
            server_default="false",
            nullable=False,
            comment="supersedes people's earlier annotations",
        ),
        sa.Column("revision", sa.Integer(), nullable=False, comment="of the article when it was annotated"),
        sa.CheckConstraint("category <> ''", name=op.f("ck_annotations_category")),
        sa.ForeignKeyConstraint(
            ["article_id"], ["articles.id"], name=op.f("fk_annotations_article_id_articles"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_annotations")),
    )
    op.create_index(op.f("ix_annotations_article_id_id"), "annotations", ["article_id", "id"])
    op.create_index(
        "ix_annotations_by_people",
        "annotations",
        ["article_id", "id"],
        postgresql_where=sa.text("annotator NOT LIKE 'source:%'"),
    )
    op.create_index(op.f("ix_annotations_category"), "annotations", ["category"])


def _models() -> None:
    op.create_table(
        "models",
        _identity(),
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
            comment="recipe, data, versions and history of the training",
        ),
        _now("created_at"),
        sa.Column("promoted_at", sa.DateTime(timezone=True)),
        sa.Column("backfilled_to", sa.BigInteger(), comment="last article examined by the backfill; null: finished"),
        sa.Column("pruned_at", sa.DateTime(timezone=True)),
        sa.Column("temperature", sa.Double(), server_default="1", nullable=False, comment="1: not calibrated"),
        sa.Column("threshold", sa.REAL(), comment="confidence below which the model abstains; null: it never abstains"),
        sa.Column(
            "calibration",
            postgresql.JSONB(astext_type=sa.Text()),
            comment="what temperature and threshold were chosen on, and their results there",
        ),
        sa.CheckConstraint(
            "status IN ('candidate', 'champion', 'retired', 'rejected', 'pruned')", name=op.f("ck_models_status")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("name", name=op.f("uq_models_name")),
    )
    op.create_index(
        "uq_models_champion", "models", ["status"], unique=True, postgresql_where=sa.text("status = 'champion'")
    )


def _promotions() -> None:
    op.create_table(
        "promotions",
        _identity(),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("previous_id", sa.BigInteger()),
        sa.Column("verdict", sa.Text(), nullable=False, comment="what the gate or a person decided"),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_by", sa.Text(), nullable=False),
        _now("decided_at"),
        sa.Column(
            "statistics",
            postgresql.JSONB(astext_type=sa.Text()),
            comment="results of the gate; null: the gate was not run",
        ),
        sa.CheckConstraint(
            "verdict IN ('promoted', 'held', 'undecided', 'rolled back')", name=op.f("ck_promotions_verdict")
        ),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_promotions_model_id_models")),
        sa.ForeignKeyConstraint(["previous_id"], ["models.id"], name=op.f("fk_promotions_previous_id_models")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_promotions")),
    )


def _evaluations() -> None:
    op.create_table(
        "evaluations",
        _identity(),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column(
            "data_sha256",
            sa.Text(),
            nullable=False,
            comment="of the ids, texts and annotations of the evaluated articles",
        ),
        sa.Column("articles", sa.Integer(), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.Column("macro_f1", sa.Double(), nullable=False),
        sa.Column("metrics", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        _now("evaluated_at"),
        sa.CheckConstraint("split IN ('train', 'validation', 'test')", name=op.f("ck_evaluations_split")),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_evaluations_model_id_models"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
    )
    op.create_index(op.f("ix_evaluations_model_id_id"), "evaluations", ["model_id", "id"])


def _evaluation_predictions() -> None:
    op.create_table(
        "evaluation_predictions",
        sa.Column("evaluation_id", sa.BigInteger(), nullable=False),
        sa.Column("article_id", sa.BigInteger(), nullable=False),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False, comment="of the evaluated text"),
        sa.Column("words", sa.Integer(), nullable=False, comment="number of words of the evaluated text"),
        sa.Column("cluster_id", sa.BigInteger(), comment="cluster of near-duplicates; null: none"),
        sa.Column("annotated_category", sa.Text(), nullable=False, comment="the annotation that counted then"),
        sa.Column("baseline_category", sa.Text(), nullable=False, comment="predicted by the TF-IDF baseline"),
        sa.Column("probabilities", postgresql.ARRAY(sa.REAL()), nullable=False),
        sa.Column(
            "gflops", sa.Double(), comment="floating-point operations for the text, in billions; null: not counted"
        ),
        sa.ForeignKeyConstraint(
            ["article_id"],
            ["articles.id"],
            name=op.f("fk_evaluation_predictions_article_id_articles"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["evaluation_id"],
            ["evaluations.id"],
            name=op.f("fk_evaluation_predictions_evaluation_id_evaluations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("evaluation_id", "article_id", name=op.f("pk_evaluation_predictions")),
    )


def _evaluation_progress() -> None:
    op.create_table(
        "evaluation_progress",
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "engine",
            sa.Text(),
            nullable=False,
            comment="engine and its options: the same engine computes the same bits",
        ),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False),
        sa.Column("gflops", sa.Double(), nullable=False, comment="floating-point operations for the text, in billions"),
        sa.Column("seconds", sa.Double(), nullable=False, comment="the text's share of the time of its chunk"),
        sa.Column("probabilities", postgresql.ARRAY(sa.REAL()), nullable=False),
        _now("computed_at"),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_evaluation_progress_model_id_models"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("model_id", "engine", "text_hash", name=op.f("pk_evaluation_progress")),
        comment="model outputs of unfinished evaluations, from which the next attempt resumes",
    )
    op.create_index(op.f("ix_evaluation_progress_computed_at"), "evaluation_progress", ["computed_at"])


def _predictions() -> None:
    op.create_table(
        "predictions",
        sa.Column("article_id", sa.BigInteger(), nullable=False),
        sa.Column("model_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False, comment="of the article when it was labelled"),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("confidence", sa.REAL(), nullable=False),
        sa.Column("probabilities", postgresql.ARRAY(sa.REAL()), nullable=False),
        sa.Column(
            "predicted_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("statement_timestamp()"),
            nullable=False,
            comment="time of writing, not of the transaction",
        ),
        sa.ForeignKeyConstraint(
            ["article_id"], ["articles.id"], name=op.f("fk_predictions_article_id_articles"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("article_id", "model_id", name=op.f("pk_predictions")),
    )
    op.create_index(op.f("ix_predictions_predicted_at"), "predictions", ["predicted_at"])


def _labelling_queue() -> None:
    op.create_table(
        "labelling_queue",
        sa.Column("article_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "priority", sa.SmallInteger(), nullable=False, comment="0 new or changed, 1 backfill; lower is first"
        ),
        _now("enqueued_at"),
        sa.ForeignKeyConstraint(
            ["article_id"], ["articles.id"], name=op.f("fk_labelling_queue_article_id_articles"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("article_id", name=op.f("pk_labelling_queue")),
    )
    op.create_index(op.f("ix_labelling_queue_priority_article_id"), "labelling_queue", ["priority", "article_id"])


def _review_queue() -> None:
    op.create_table(
        "review_queue",
        sa.Column("article_id", sa.BigInteger(), nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "revision", sa.Integer(), autoincrement=False, nullable=False, comment="of the article when it was labelled"
        ),
        sa.Column(
            "reason", sa.Text(), nullable=False, comment="why the model's prediction was chosen; audit: drawn at random"
        ),
        sa.Column("predicted_category", sa.Text(), nullable=False, comment="when the article was queued"),
        sa.Column("confidence", sa.REAL(), nullable=False),
        _now("queued_at"),
        sa.CheckConstraint(
            "reason IN ('uncertain', 'diverse', 'rare', 'rewritten', 'audit')", name=op.f("ck_review_queue_reason")
        ),
        sa.ForeignKeyConstraint(
            ["article_id"], ["articles.id"], name=op.f("fk_review_queue_article_id_articles"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_review_queue_model_id_models")),
        sa.PrimaryKeyConstraint("article_id", "model_id", "revision", "reason", name=op.f("pk_review_queue")),
    )
    op.create_index(op.f("ix_review_queue_model_id_queued_at"), "review_queue", ["model_id", "queued_at"])


def _ingest_runs() -> None:
    op.create_table(
        "ingest_runs",
        _identity(),
        sa.Column("source", sa.Text(), nullable=False, comment="name of a declared source, else the pattern of files"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column(
            "options",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="how files were read that no source declares",
        ),
        sa.Column("status", sa.Text(), server_default="running", nullable=False),
        sa.Column(
            "files", sa.Integer(), server_default="0", nullable=False, comment="number of files, feeds or queries read"
        ),
        sa.Column("read", sa.BigInteger(), server_default="0", nullable=False, comment="rows read"),
        sa.Column("new", sa.BigInteger(), server_default="0", nullable=False, comment="rows inserted"),
        sa.Column(
            "changed", sa.BigInteger(), server_default="0", nullable=False, comment="rows with another text than before"
        ),
        sa.Column("unchanged", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("rejected", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column(
            "duplicates", sa.BigInteger(), server_default="0", nullable=False, comment="rows superseded by later rows"
        ),
        sa.Column("error", sa.Text(), comment="one line; null: it did not fail"),
        _now("started_at"),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("status IN ('running', 'succeeded', 'failed')", name=op.f("ck_ingest_runs_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ingest_runs")),
    )
    op.create_index(op.f("ix_ingest_runs_source_id"), "ingest_runs", ["source", "id"])


def _source_state() -> None:
    op.create_table(
        "source_state",
        sa.Column("source", sa.Text(), nullable=False, comment="name of a declared source"),
        sa.Column("unit", sa.Text(), nullable=False, comment="path of a file, address of a feed, or query"),
        sa.Column("config_sha256", sa.LargeBinary(), nullable=False, comment="of the options it was read with"),
        sa.Column("size", sa.BigInteger()),
        sa.Column("modified_at", sa.DateTime(timezone=True)),
        sa.Column("sha256", sa.LargeBinary(), comment="of the file or of the feed's document"),
        sa.Column("etag", sa.Text()),
        sa.Column("last_modified", sa.Text(), comment="as sent by the feed's server"),
        sa.Column(
            "watermark", postgresql.JSONB(astext_type=sa.Text()), comment="kind and value of the highest watermark read"
        ),
        _now("seen_at"),
        sa.PrimaryKeyConstraint("source", "unit", name=op.f("pk_source_state")),
    )


def _rejected_rows() -> None:
    op.create_table(
        "rejected_rows",
        _identity(),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("position", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("row", sa.Text(), nullable=False),
        sa.Column(
            "row_hash",
            sa.LargeBinary(),
            nullable=False,
            comment="sha256 of the row; the same row at the same position is stored once",
        ),
        _now("rejected_at"),
        sa.Column("run_id", sa.BigInteger()),
        sa.Column("unit", sa.Text(), comment="path of a file, address of a feed, or query"),
        sa.ForeignKeyConstraint(["run_id"], ["ingest_runs.id"], name=op.f("fk_rejected_rows_run_id_ingest_runs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rejected_rows")),
        sa.UniqueConstraint("source", "position", "row_hash", name=op.f("uq_rejected_rows_source_position_row_hash")),
    )
    op.create_index(op.f("ix_rejected_rows_run_id"), "rejected_rows", ["run_id"])
    op.create_index(op.f("ix_rejected_rows_unit_id"), "rejected_rows", ["unit", "id"])


def _dead_letters() -> None:
    op.create_table(
        "dead_letters",
        sa.Column("article_id", sa.BigInteger(), nullable=False),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        _now("failed_at"),
        sa.ForeignKeyConstraint(
            ["article_id"], ["articles.id"], name=op.f("fk_dead_letters_article_id_articles"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_dead_letters_model_id_models"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("article_id", "model_id", name=op.f("pk_dead_letters")),
    )


def _training_runs() -> None:
    op.create_table(
        "training_runs",
        _identity(),
        sa.Column("training_key", sa.Text(), nullable=False, comment="hash of recipe and data; the same key resumes"),
        sa.Column("status", sa.Text(), server_default="running", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="1", nullable=False),
        sa.Column("steps", sa.Integer(), nullable=False, comment="total, over all epochs"),
        sa.Column("epochs", sa.Integer(), nullable=False, comment="maximum; the training may stop early"),
        sa.Column("step", sa.Integer(), server_default="0", nullable=False, comment="completed steps"),
        sa.Column("epoch", sa.Integer(), server_default="1", nullable=False),
        sa.Column("loss", sa.Double(), comment="mean since the start of the epoch"),
        sa.Column("seconds", sa.Double(), server_default="0", nullable=False, comment="duration of all attempts"),
        sa.Column("seconds_left", sa.Double()),
        sa.Column("model_id", sa.BigInteger(), comment="the trained model"),
        sa.Column("error", sa.Text(), comment="one line; null: it did not fail"),
        _now("started_at"),
        _now("last_heartbeat_at"),
        sa.Column("finished_at", sa.DateTime(timezone=True)),
        sa.CheckConstraint("status IN ('running', 'succeeded', 'failed')", name=op.f("ck_training_runs_status")),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_training_runs_model_id_models"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_training_runs")),
    )
    op.create_index(op.f("ix_training_runs_training_key_id"), "training_runs", ["training_key", "id"])


def _training_metrics() -> None:
    op.create_table(
        "training_metrics",
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("step", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("loss", sa.Double(), nullable=False, comment="mean since the start of the epoch"),
        sa.Column("accuracy", sa.Double(), comment="on the validation split, at the end of an epoch"),
        sa.Column("macro_f1", sa.Double(), comment="on the validation split, at the end of an epoch"),
        sa.Column("seconds", sa.Double(), nullable=False, comment="since the start of the training, over all attempts"),
        _now("recorded_at"),
        sa.ForeignKeyConstraint(
            ["run_id"], ["training_runs.id"], name=op.f("fk_training_metrics_run_id_training_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "step", name=op.f("pk_training_metrics")),
    )


def _drift_runs() -> None:
    op.create_table(
        "drift_runs",
        _identity(),
        sa.Column("model_id", sa.BigInteger(), nullable=False),
        _now("ran_at"),
        sa.Column("since", sa.DateTime(timezone=True), comment="when the oldest of the articles was ingested"),
        sa.Column(
            "articles", sa.Integer(), nullable=False, comment="number of examined articles, labelled by the champion"
        ),
        sa.Column("audited", sa.Integer(), nullable=False, comment="number of articles drawn at random and reviewed"),
        sa.Column(
            "category_drift",
            sa.Double(),
            comment="Jensen-Shannon distance, 0 to 1, between predicted categories on test articles and on these",
        ),
        sa.Column("length_drift", sa.Double(), comment="the same distance for the lengths of texts"),
        sa.Column("confidence_drift", sa.Double(), comment="the same distance for confidence"),
        sa.Column("mean_confidence", sa.Double()),
        sa.Column("abstained", sa.Double(), comment="share of the articles on which the champion abstained"),
        sa.Column("estimated_accuracy", sa.Double(), comment="estimated from confidence"),
        sa.Column("audited_accuracy", sa.Double(), comment="accuracy on the audited articles"),
        sa.Column(
            "checks", postgresql.JSONB(astext_type=sa.Text()), nullable=False, comment="every check, with its metrics"
        ),
        sa.Column(
            "alarms", postgresql.ARRAY(sa.Text()), nullable=False, comment="names of the checks that raised an alarm"
        ),
        sa.ForeignKeyConstraint(
            ["model_id"], ["models.id"], name=op.f("fk_drift_runs_model_id_models"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift_runs")),
    )
    op.create_index(op.f("ix_drift_runs_model_id_id"), "drift_runs", ["model_id", "id"])


CREATE_TABLE = {
    "articles": _articles,
    "splits": _splits,
    "clusters": _clusters,
    "cluster_bands": _cluster_bands,
    "cluster_bridges": _cluster_bridges,
    "annotations": _annotations,
    "models": _models,
    "promotions": _promotions,
    "evaluations": _evaluations,
    "evaluation_predictions": _evaluation_predictions,
    "evaluation_progress": _evaluation_progress,
    "predictions": _predictions,
    "labelling_queue": _labelling_queue,
    "review_queue": _review_queue,
    "ingest_runs": _ingest_runs,
    "source_state": _source_state,
    "rejected_rows": _rejected_rows,
    "dead_letters": _dead_letters,
    "training_runs": _training_runs,
    "training_metrics": _training_metrics,
    "drift_runs": _drift_runs,
}
"""By table. A table comes after the tables that it references."""

VIEWS = {
    # The annotations that hold for their article's present text.
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
WHERE replaced.id IS NULL;
COMMENT ON VIEW annotations_in_force IS 'Annotations that hold for their article''s present text'
""",
    # Of several annotations in force, a person's counts before a source's, and the newest before older ones.
    "effective_annotations": """
CREATE VIEW effective_annotations AS
SELECT DISTINCT ON (article_id) article_id, revision, category, annotator, annotated_at
FROM annotations_in_force
ORDER BY article_id, annotator LIKE 'source:%', id DESC;
COMMENT ON VIEW effective_annotations IS
    'The annotation that counts for each article: a person''s before a source''s, then the newest'
""",
    # A resolution supersedes what people annotated before it.
    "annotation_opinions": """
CREATE VIEW annotation_opinions AS
SELECT DISTINCT ON (article_id, annotator) article_id, annotator, category, comment, annotated_at
FROM (
    SELECT
        id, article_id, annotator, category, comment, annotated_at,
        max(id) FILTER (WHERE is_resolution) OVER (PARTITION BY article_id) AS resolution
    FROM annotations_in_force
    WHERE annotator NOT LIKE 'source:%'
) AS by_people
WHERE id >= coalesce(resolution, 0)
ORDER BY article_id, annotator, id DESC;
COMMENT ON VIEW annotation_opinions IS
    'Each person''s last annotation of an article''s present text, since the last resolution'
""",
    # Only articles that have two different annotations by people are examined closely.
    "annotation_conflicts": """
CREATE VIEW annotation_conflicts AS
SELECT suspects.article_id
FROM (
    SELECT article_id
    FROM annotations_in_force
    WHERE annotator NOT LIKE 'source:%'
    GROUP BY article_id
    HAVING min(category) <> max(category)
) AS suspects
WHERE (
    SELECT min(opinions.category) <> max(opinions.category)
    FROM annotation_opinions AS opinions
    WHERE opinions.article_id = suspects.article_id
);
COMMENT ON VIEW annotation_conflicts IS 'Articles whose annotators disagree; excluded from training and evaluation'
""",
    # OFFSET 0: the annotation of each article is looked up by the index.
    "article_labels": """
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
    articles.published_at,
    CASE
        WHEN annotated.category IS NOT NULL THEN false
        ELSE predicted.confidence < coalesce(predicted.threshold, 0)
    END AS abstained
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
    # A text belongs to the cluster that gave it its split, and to further ones if it is near texts of several.
    "text_clusters": """
CREATE VIEW text_clusters AS
SELECT fingerprint, cluster_id FROM splits WHERE cluster_id IS NOT NULL
UNION ALL
SELECT fingerprint, cluster_id FROM cluster_bridges;
COMMENT ON VIEW text_clusters IS 'Every cluster of near-duplicates that a text belongs to'
""",
}
"""By name. A view comes after the views that it reads."""
