"""The tables, as SQLAlchemy Core describes them.

An article's split is decided once, when its row is inserted in `articles`; all tasks share it. For each task, the
article waits in `labelling_queue` until a worker writes its `predictions`. People and sources add `annotations`;
`review_queue` lists the articles that people are asked to annotate. The view `article_labels` shows the annotation that
counts, else the champion's prediction, and marks predictions below the model's threshold. Of several annotations, a
person's counts before a source's, and the newest before older ones: see the view `effective_annotations`.

An annotation belongs to a `revision` of its article. It stays in force (see the view `annotations_in_force`) until the
content of the text changes: `articles.content_revision` is the revision of the last such change. Small changes, such as
a corrected typing error, leave it in force.
"""

from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from classifier.store.erasure_tables import erased_articles, erasure_key, erasures
from classifier.store.table_conventions import identity, metadata, now
from classifier.store.task_tables import categories, category_changes, tasks
from classifier.store.training_tables import training_metrics, training_runs

__all__ = [
    "categories",
    "category_changes",
    "erased_articles",
    "erasure_key",
    "erasures",
    "metadata",
    "tasks",
    "training_metrics",
    "training_runs",
]

_SPLIT_VALUES = "split IN ('train', 'validation', 'test')"

articles = Table(
    "articles",
    metadata,
    identity(),
    Column("source", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("text_hash", LargeBinary, nullable=False, comment="sha256 of the text"),
    Column("fingerprint", LargeBinary, nullable=False, comment="sha256 of the text, case and white space folded"),
    Column(
        "revision",
        Integer,
        nullable=False,
        server_default="1",
        comment="incremented when text or title changes",
    ),
    Column("split", Text, nullable=False, comment="decided once, when the article is inserted"),
    Column("published_at", DateTime(timezone=True)),
    now("ingested_at"),
    now("changed_at"),
    Column(
        "content_revision",
        Integer,
        nullable=False,
        server_default="1",
        comment="revision of the last change of content",
    ),
    Column("content_sketch", LargeBinary, comment="of the text at content_revision, if small changes followed"),
    Column("title", Text, comment="read by models before the text"),
    Column("url", Text, comment="web address of the article"),
    Column("run_id", BigInteger, comment="ingest run that inserted the article"),
    Column("changed_run_id", BigInteger, comment="ingest run of the last change of the text; null: none"),
    UniqueConstraint("source", "external_id"),
    CheckConstraint(_SPLIT_VALUES, name="split"),
    Index(None, "fingerprint"),
    Index(None, "split"),
    Index("ix_articles_replaced", "id", "content_revision", postgresql_where=text("content_revision > 1")),
)

splits = Table(
    "splits",
    metadata,
    Column("fingerprint", LargeBinary, primary_key=True, comment="of the articles' text"),
    Column("split", Text, nullable=False),
    now("decided_at"),
    Column("cluster_id", BigInteger, comment="cluster of near-duplicates that gave the split; null: not clustered yet"),
    CheckConstraint(_SPLIT_VALUES, name="split"),
    Index(None, "cluster_id"),
)

# No foreign keys between the next three tables: one module writes them and never deletes rows, and checking each row
# would cost more than inserting it.
clusters = Table(
    "clusters",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, comment="first 8 bytes of its first fingerprint"),
    Column("split", Text, nullable=False, comment="of all texts of the cluster; decided once"),
    now("created_at"),
    CheckConstraint(_SPLIT_VALUES, name="split"),
)

cluster_bands = Table(
    "cluster_bands",
    metadata,
    Column("band", BigInteger, primary_key=True, autoincrement=False, comment="hash of a band of a MinHash signature"),
    Column("cluster_id", BigInteger, nullable=False),
)

cluster_bridges = Table(
    "cluster_bridges",
    metadata,
    Column("fingerprint", LargeBinary, primary_key=True, comment="of a text that is near texts of several clusters"),
    Column("cluster_id", BigInteger, primary_key=True, autoincrement=False, comment="a further cluster of the text"),
    Index(None, "cluster_id"),
)

annotations = Table(
    "annotations",
    metadata,
    identity(),
    Column("article_id", ForeignKey(articles.c.id, ondelete="CASCADE"), nullable=False),
    # No foreign key: an ingest would check it for each row. Tasks are never deleted.
    Column("task_id", BigInteger, nullable=False),
    Column("categories", ARRAY(Text), nullable=False, comment="sorted; one of a single-label task"),
    Column("annotator", Text, nullable=False, comment="a person's name, or source:NAME for a source"),
    now("annotated_at"),
    Column("comment", Text),
    Column(
        "is_resolution",
        Boolean,
        nullable=False,
        server_default="false",
        comment="supersedes people's earlier annotations",
    ),
    Column("revision", Integer, nullable=False, comment="of the article when it was annotated"),
    Column("run_id", BigInteger, comment="ingest run that brought a source's annotation; null: a person's"),
    Column("retracted_at", DateTime(timezone=True), comment="null: the annotation was not retracted"),
    Column("retracted_by", Text),
    Index(None, "article_id", "task_id", "id"),
    Index("ix_annotations_by_people", "article_id", "id", postgresql_where=text("annotator NOT LIKE 'source:%'")),
    CheckConstraint(
        "array_position(categories, '') IS NULL AND array_position(categories, NULL) IS NULL", name="categories"
    ),
)

models = Table(
    "models",
    metadata,
    identity(),
    Column("task_id", ForeignKey(tasks.c.id), nullable=False),
    Column("name", Text, nullable=False, unique=True),
    Column("status", Text, nullable=False, server_default="candidate"),
    Column("artefact", Text, nullable=False, comment="directory of the model's files"),
    Column("manifest_sha256", Text, nullable=False),
    Column("categories", ARRAY(Text), nullable=False, comment="in the order of predictions.probabilities"),
    Column("training", JSONB, nullable=False, comment="recipe, data, versions and history of the training"),
    now("created_at"),
    Column("promoted_at", DateTime(timezone=True)),
    Column("backfilled_to", BigInteger, comment="last article examined by the backfill; null: finished"),
    Column("pruned_at", DateTime(timezone=True)),
    Column("temperature", Double, nullable=False, server_default="1", comment="1: not calibrated"),
    Column("threshold", REAL, comment="confidence below which the model abstains; null: it never abstains"),
    Column(
        "backs_off",
        Boolean,
        nullable=False,
        server_default="false",
        comment="below the threshold, a parent that reaches it is answered",
    ),
    Column("thresholds", ARRAY(REAL), comment="of a multi-label model: probability from which it gives each category"),
    Column("calibration", JSONB, comment="what temperature and threshold were chosen on, and their results there"),
    CheckConstraint("status IN ('candidate', 'champion', 'retired', 'rejected', 'pruned')", name="status"),
    Index("uq_models_champion", "task_id", unique=True, postgresql_where=text("status = 'champion'")),
)

promotions = Table(
    "promotions",
    metadata,
    identity(),
    Column("model_id", ForeignKey(models.c.id), nullable=False),
    Column("previous_id", ForeignKey(models.c.id)),
    Column("verdict", Text, nullable=False, comment="what the gate or a person decided"),
    Column("reason", Text, nullable=False),
    Column("decided_by", Text, nullable=False),
    now("decided_at"),
    Column("statistics", JSONB, comment="results of the gate; null: the gate was not run"),
    CheckConstraint("verdict IN ('promoted', 'held', 'undecided', 'rolled back')", name="verdict"),
)

evaluations = Table(
    "evaluations",
    metadata,
    identity(),
    Column("model_id", ForeignKey(models.c.id, ondelete="CASCADE"), nullable=False),
    Column("split", Text, nullable=False),
    Column("data_sha256", Text, nullable=False, comment="of the ids, texts and annotations of the evaluated articles"),
    Column("articles", Integer, nullable=False),
    Column("accuracy", Double, nullable=False),
    Column("macro_f1", Double, nullable=False),
    Column("metrics", JSONB, nullable=False),
    now("evaluated_at"),
    CheckConstraint(_SPLIT_VALUES, name="split"),
    Index(None, "model_id", "id"),
)

evaluation_predictions = Table(
    "evaluation_predictions",
    metadata,
    Column("evaluation_id", ForeignKey(evaluations.c.id, ondelete="CASCADE"), primary_key=True),
    Column("article_id", ForeignKey(articles.c.id, ondelete="CASCADE"), primary_key=True),
    Column("text_hash", LargeBinary, nullable=False, comment="of the evaluated text"),
    Column("words", Integer, nullable=False, comment="number of words of the evaluated text"),
    Column("cluster_id", BigInteger, comment="cluster of near-duplicates; null: none"),
    Column("annotated_categories", ARRAY(Text), nullable=False, comment="the annotation that counted then"),
    Column("baseline_categories", ARRAY(Text), nullable=False, comment="predicted by the TF-IDF baseline"),
    Column("probabilities", ARRAY(REAL), nullable=False),
    Column("gflops", Double, comment="floating-point operations for the text, in billions; null: not counted"),
    Index(None, "article_id"),
)

evaluation_progress = Table(
    "evaluation_progress",
    metadata,
    Column("model_id", ForeignKey(models.c.id, ondelete="CASCADE"), primary_key=True),
    Column("engine", Text, primary_key=True, comment="engine and its options: the same engine computes the same bits"),
    Column("text_hash", LargeBinary, primary_key=True),
    Column("gflops", Double, nullable=False, comment="floating-point operations for the text, in billions"),
    Column("seconds", Double, nullable=False, comment="the text's share of the time of its chunk"),
    Column("probabilities", ARRAY(REAL), nullable=False),
    now("computed_at"),
    Index(None, "computed_at"),
    comment="model outputs of unfinished evaluations, from which the next attempt resumes",
)

predictions = Table(
    "predictions",
    metadata,
    Column("article_id", ForeignKey(articles.c.id, ondelete="CASCADE"), primary_key=True),
    # No foreign key: all its checks would lock one row of models, where workers would wait for one another.
    # A prediction of a deleted model is shown nowhere.
    Column("model_id", BigInteger, primary_key=True, autoincrement=False),
    Column("revision", Integer, nullable=False, comment="of the article when it was labelled"),
    Column("category_indices", ARRAY(SmallInteger), nullable=False, comment="positions in models.categories, from 1"),
    Column("confidence", REAL, nullable=False, comment="of a multi-label model: that its labels are exactly right"),
    Column("probabilities", ARRAY(REAL), nullable=False),
    Column(
        "predicted_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=text("statement_timestamp()"),
        comment="time of writing, not of the transaction",
    ),
    Index(None, "predicted_at"),
)

labelling_queue = Table(
    "labelling_queue",
    metadata,
    Column("article_id", ForeignKey(articles.c.id, ondelete="CASCADE"), primary_key=True),
    # No foreign key: its checks would lock the task's row. Archiving a task deletes its rows.
    Column("task_id", BigInteger, primary_key=True, autoincrement=False),
    Column("priority", SmallInteger, nullable=False, comment="0 new or changed, 1 backfill; lower is first"),
    now("enqueued_at"),
    Index(None, "task_id", "priority", "article_id"),
)

review_queue = Table(
    "review_queue",
    metadata,
    Column("article_id", ForeignKey(articles.c.id, ondelete="CASCADE"), primary_key=True),
    Column("model_id", ForeignKey(models.c.id), primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False, comment="of the article when it was labelled"),
    Column(
        "reason",
        Text,
        primary_key=True,
        comment="why the article was chosen; audit: drawn at random; control: drawn at random with doubtful ones",
    ),
    Column("predicted_categories", ARRAY(Text), nullable=False, comment="when the article was queued"),
    Column("confidence", REAL, nullable=False),
    now("queued_at"),
    CheckConstraint(
        "reason IN ('uncertain', 'diverse', 'rare', 'rewritten', 'split', 'audit', 'doubtful', 'control')",
        name="reason",
    ),
    Index(None, "model_id", "queued_at"),
)

ingest_runs = Table(
    "ingest_runs",
    metadata,
    identity(),
    Column("source", Text, nullable=False, comment="name of a declared source, else the pattern of files"),
    Column("kind", Text, nullable=False),
    Column("options", JSONB, nullable=False, comment="how files were read that no source declares"),
    Column("status", Text, nullable=False, server_default="running"),
    Column("files", Integer, nullable=False, server_default="0", comment="number of files, feeds or queries read"),
    Column("read", BigInteger, nullable=False, server_default="0", comment="rows read"),
    Column("new", BigInteger, nullable=False, server_default="0", comment="rows inserted"),
    Column("changed", BigInteger, nullable=False, server_default="0", comment="rows with another text than before"),
    Column("unchanged", BigInteger, nullable=False, server_default="0"),
    Column("rejected", BigInteger, nullable=False, server_default="0"),
    Column("duplicates", BigInteger, nullable=False, server_default="0", comment="rows superseded by later rows"),
    Column("error", Text, comment="one line; null: it did not fail"),
    now("started_at"),
    Column("finished_at", DateTime(timezone=True)),
    Column(
        "erased",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="rows left out, because their articles were erased",
    ),
    Column(
        "other_split",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="rows with another split than their article has; it keeps its split",
    ),
    Column("undone_at", DateTime(timezone=True), comment="null: the run was not undone"),
    CheckConstraint("status IN ('running', 'succeeded', 'failed')", name="status"),
    Index(None, "source", "id"),
)

source_state = Table(
    "source_state",
    metadata,
    Column("source", Text, primary_key=True, comment="name of a declared source"),
    Column("unit", Text, primary_key=True, comment="path of a file, address of a feed, or query"),
    Column("config_sha256", LargeBinary, nullable=False, comment="of the options it was read with"),
    Column("size", BigInteger),
    Column("modified_at", DateTime(timezone=True)),
    Column("sha256", LargeBinary, comment="of the file or of the feed's document"),
    Column("etag", Text),
    Column("last_modified", Text, comment="as sent by the feed's server"),
    Column("watermark", JSONB, comment="kind and value of the highest watermark read"),
    now("seen_at"),
    Column("shared_guids", ARRAY(Text), comment="guids that several entries of the feed share, so they are not ids"),
)

rejected_rows = Table(
    "rejected_rows",
    metadata,
    identity(),
    Column("source", Text, nullable=False),
    Column("position", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("row", Text, nullable=False),
    Column(
        "row_hash",
        LargeBinary,
        nullable=False,
        comment="sha256 of the row; the same row at the same position is stored once",
    ),
    now("rejected_at"),
    Column("run_id", ForeignKey(ingest_runs.c.id)),
    Column("unit", Text, comment="path of a file, address of a feed, or query"),
    UniqueConstraint("source", "position", "row_hash"),
    Index(None, "unit", "id"),
    Index(None, "run_id"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("article_id", ForeignKey(articles.c.id, ondelete="CASCADE"), primary_key=True),
    Column("model_id", ForeignKey(models.c.id, ondelete="CASCADE"), primary_key=True),
    Column("revision", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    now("failed_at"),
)

drift_runs = Table(
    "drift_runs",
    metadata,
    identity(),
    Column("model_id", ForeignKey(models.c.id, ondelete="CASCADE"), nullable=False),
    now("ran_at"),
    Column("since", DateTime(timezone=True), comment="when the oldest of the articles was ingested"),
    Column("articles", Integer, nullable=False, comment="number of examined articles, labelled by the champion"),
    Column("audited", Integer, nullable=False, comment="number of articles drawn at random and reviewed"),
    Column(
        "category_drift",
        Double,
        comment="Jensen-Shannon distance, 0 to 1, between predicted categories on test articles and on these",
    ),
    Column("length_drift", Double, comment="the same distance for the lengths of texts"),
    Column("confidence_drift", Double, comment="the same distance for confidence"),
    Column("mean_confidence", Double),
    Column("abstained", Double, comment="share of the articles on which the champion abstained"),
    Column("estimated_accuracy", Double, comment="estimated from confidence"),
    Column("audited_accuracy", Double, comment="accuracy on the audited articles"),
    Column("checks", JSONB, nullable=False, comment="every check, with its metrics"),
    Column("alarms", ARRAY(Text), nullable=False, comment="names of the checks that raised an alarm"),
    Index(None, "model_id", "id"),
)
