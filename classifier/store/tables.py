"""The tables, as SQLAlchemy Core describes them.

The life of a row: `articles` (with its `split`, decided once) waits in `labelling_queue` until a
labeller writes its `predictions`; `annotations` are what humans said of it, in `review_queue` those that
were asked for. The view `article_labels` joins them: the annotation where there is one, else the champion's
prediction, which is marked where it is not sure enough. Of several annotations a person's goes before a
source's, and the newest before older ones: the view `effective_annotations` has the one that counts.

An annotation is of a `revision` of its article. It is in force (the view `annotations_in_force`) until the text becomes
another one: `articles.content_revision` is the revision when it last did. A small change leaves it in force.
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
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_SPLIT_VALUES = "split IN ('train', 'validation', 'test')"


def _key() -> Column[int]:
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def _now(name: str) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=False, server_default=func.now())


articles = Table(
    "articles",
    metadata,
    _key(),
    Column("source", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("text", Text, nullable=False),
    Column("text_hash", LargeBinary, nullable=False, comment="sha256 of the text"),
    Column("fingerprint", LargeBinary, nullable=False, comment="sha256 of the text, case and white space folded"),
    Column("revision", Integer, nullable=False, server_default="1", comment="grows by one when the text changes"),
    Column("split", Text, nullable=False, comment="decided when the article came, and never again"),
    Column("published_at", DateTime(timezone=True)),
    _now("ingested_at"),
    _now("changed_at"),
    Column(
        "content_revision",
        Integer,
        nullable=False,
        server_default="1",
        comment="when the text became another one; annotations of earlier revisions do not hold",
    ),
    Column("content_sketch", LargeBinary, comment="of the text at content_revision, where small changes followed"),
    UniqueConstraint("source", "external_id"),
    CheckConstraint(_SPLIT_VALUES, name="split"),
    Index(None, "fingerprint"),
    Index(None, "split"),
    Index("ix_articles_replaced", "id", "content_revision", postgresql_where=text("content_revision > 1")),
)

splits = Table(
    "splits",
    metadata,
    Column("fingerprint", LargeBinary, primary_key=True, comment="of the articles that share the split"),
    Column("split", Text, nullable=False),
    _now("decided_at"),
    Column("cluster_id", BigInteger, comment="the cluster that gave it; null: decided before there were clusters"),
    CheckConstraint(_SPLIT_VALUES, name="split"),
    Index(None, "cluster_id"),
)

# No foreign keys between the next three: one module writes them, rows are never deleted, and a check a
# row would cost more than the row.
clusters = Table(
    "clusters",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False, comment="first 8 bytes of its first fingerprint"),
    Column("split", Text, nullable=False, comment="decided once"),
    _now("founded_at"),
    CheckConstraint(_SPLIT_VALUES, name="split"),
)

cluster_bands = Table(
    "cluster_bands",
    metadata,
    Column("band", BigInteger, primary_key=True, autoincrement=False, comment="hash of a band of a MinHash signature"),
    Column("cluster_id", BigInteger, nullable=False),
)

bridges = Table(
    "bridges",
    metadata,
    Column("fingerprint", LargeBinary, primary_key=True, comment="of a text that is near texts of several clusters"),
    Column("cluster_id", BigInteger, primary_key=True, autoincrement=False, comment="one of the further clusters"),
    Index(None, "cluster_id"),
)

annotations = Table(
    "annotations",
    metadata,
    _key(),
    Column("article_id", ForeignKey(articles.c.id, ondelete="CASCADE"), nullable=False),
    Column("category", Text, nullable=False),
    Column("annotator", Text, nullable=False, comment="a person's name, or source:NAME for a file's own category"),
    _now("annotated_at"),
    Column("comment", Text),
    Column(
        "is_resolution",
        Boolean,
        nullable=False,
        server_default="false",
        comment="settles what people said of it before",
    ),
    Column("revision", Integer, nullable=False, comment="of the text annotated"),
    Index(None, "article_id", "id"),
    Index(None, "category"),
    Index("ix_annotations_by_people", "article_id", "id", postgresql_where=text("annotator NOT LIKE 'source:%'")),
    CheckConstraint("category <> ''", name="category"),
)

models = Table(
    "models",
    metadata,
    _key(),
    Column("name", Text, nullable=False, unique=True),
    Column("status", Text, nullable=False, server_default="candidate"),
    Column("artefact", Text, nullable=False, comment="directory of the model's files"),
    Column("manifest_sha256", Text, nullable=False),
    Column("categories", ARRAY(Text), nullable=False, comment="in the order of predictions.probabilities"),
    Column("training", JSONB, nullable=False, comment="configuration, data, versions and history of the training"),
    _now("created_at"),
    Column("promoted_at", DateTime(timezone=True)),
    Column("backfilled_to", BigInteger, comment="articles up to this id were enqueued for this champion; null: all"),
    Column("pruned_at", DateTime(timezone=True)),
    Column("temperature", Double, nullable=False, server_default="1", comment="1: not calibrated"),
    Column("threshold", REAL, comment="of confidence, below which it abstains; null: it never does"),
    Column("confidence", JSONB, comment="what the two were chosen on, and what they reached there"),
    CheckConstraint("status IN ('candidate', 'champion', 'retired', 'rejected', 'pruned')", name="status"),
    Index("uq_models_champion", "status", unique=True, postgresql_where=text("status = 'champion'")),
)

promotions = Table(
    "promotions",
    metadata,
    _key(),
    Column("model_id", ForeignKey(models.c.id), nullable=False),
    Column("previous_id", ForeignKey(models.c.id)),
    Column("verdict", Text, nullable=False, comment="promoted or held"),
    Column("reason", Text, nullable=False),
    Column("decided_by", Text, nullable=False),
    _now("decided_at"),
    Column("statistics", JSONB, comment="what the gate found; null: it was not asked"),
    CheckConstraint("verdict IN ('promoted', 'held', 'undecided', 'rolled back')", name="verdict"),
)

evaluations = Table(
    "evaluations",
    metadata,
    _key(),
    Column("model_id", ForeignKey(models.c.id, ondelete="CASCADE"), nullable=False),
    Column("split", Text, nullable=False),
    Column("data_sha256", Text, nullable=False, comment="of the ids, texts and annotations it was measured on"),
    Column("articles", Integer, nullable=False),
    Column("accuracy", Double, nullable=False),
    Column("macro_f1", Double, nullable=False),
    Column("metrics", JSONB, nullable=False),
    _now("evaluated_at"),
    CheckConstraint(_SPLIT_VALUES, name="split"),
    Index(None, "model_id", "id"),
)

evaluation_predictions = Table(
    "evaluation_predictions",
    metadata,
    Column("evaluation_id", ForeignKey(evaluations.c.id, ondelete="CASCADE"), primary_key=True),
    Column("article_id", ForeignKey(articles.c.id, ondelete="CASCADE"), primary_key=True),
    Column("text_hash", LargeBinary, nullable=False, comment="of the text that was measured on"),
    Column("words", Integer, nullable=False, comment="of that text"),
    Column("cluster_id", BigInteger, comment="of near-duplicates, where one was known"),
    Column("category", Text, nullable=False, comment="as it was annotated then"),
    Column("baseline", Text, nullable=False, comment="what the baseline predicted"),
    Column("probabilities", ARRAY(REAL), nullable=False),
    Column("gflops", Double, comment="computed for the text; null: an older version did not count it"),
)

evaluation_progress = Table(
    "evaluation_progress",
    metadata,
    Column("model_id", ForeignKey(models.c.id, ondelete="CASCADE"), primary_key=True),
    Column("engine", Text, primary_key=True, comment="what computed the answer, and how: the same gives the same bits"),
    Column("text_hash", LargeBinary, primary_key=True),
    Column("gflops", Double, nullable=False, comment="computed for this text"),
    Column("seconds", Double, nullable=False, comment="that it took: its share of its chunk's"),
    Column("probabilities", ARRAY(REAL), nullable=False),
    _now("answered_at"),
    Index(None, "answered_at"),
    comment="answers of evaluations that have not ended: the next attempt continues after them",
)

predictions = Table(
    "predictions",
    metadata,
    Column("article_id", ForeignKey(articles.c.id, ondelete="CASCADE"), primary_key=True),
    # No foreign key: its check a row, all of them on one row of models, took half the time of writing a page,
    # and workers met there. A prediction of a model that is gone shows nowhere.
    Column("model_id", BigInteger, primary_key=True, autoincrement=False),
    Column("revision", Integer, nullable=False, comment="of the text that was labelled"),
    Column("category", Text, nullable=False),
    Column("confidence", REAL, nullable=False),
    Column("probabilities", ARRAY(REAL), nullable=False),
    Column(
        "predicted_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=text("statement_timestamp()"),
        comment="when it was written: a page's transaction begins long before",
    ),
    Index(None, "predicted_at"),
)

labelling_queue = Table(
    "labelling_queue",
    metadata,
    Column("article_id", ForeignKey(articles.c.id, ondelete="CASCADE"), primary_key=True),
    Column("priority", SmallInteger, nullable=False, comment="lower goes first: 0 new, 1 backfill"),
    _now("enqueued_at"),
    Index(None, "priority", "article_id"),
)

review_queue = Table(
    "review_queue",
    metadata,
    Column("article_id", ForeignKey(articles.c.id, ondelete="CASCADE"), primary_key=True),
    Column("model_id", ForeignKey(models.c.id), primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False, comment="of the text that was labelled"),
    Column("reason", Text, primary_key=True, comment="chosen by the model, or audit: drawn at random"),
    Column("category", Text, nullable=False, comment="as the model predicted then"),
    Column("confidence", REAL, nullable=False),
    _now("queued_at"),
    CheckConstraint("reason IN ('uncertain', 'diverse', 'rare', 'rewritten', 'audit')", name="reason"),
    Index(None, "model_id", "queued_at"),
)

ingest_runs = Table(
    "ingest_runs",
    metadata,
    _key(),
    Column("source", Text, nullable=False, comment="a declared source's name, else the files as given"),
    Column("kind", Text, nullable=False),
    Column("options", JSONB, nullable=False, comment="how files that no source declares were read"),
    Column("status", Text, nullable=False, server_default="running"),
    Column("files", Integer, nullable=False, server_default="0", comment="files, feeds or queries read"),
    Column("read", BigInteger, nullable=False, server_default="0", comment="rows"),
    Column("new", BigInteger, nullable=False, server_default="0", comment="rows inserted"),
    Column("changed", BigInteger, nullable=False, server_default="0", comment="rows with another text"),
    Column("unchanged", BigInteger, nullable=False, server_default="0"),
    Column("rejected", BigInteger, nullable=False, server_default="0"),
    Column("duplicates", BigInteger, nullable=False, server_default="0", comment="duplicates: a later row won"),
    Column("error", Text, comment="one line, where it failed"),
    _now("started_at"),
    Column("finished_at", DateTime(timezone=True)),
    CheckConstraint("status IN ('running', 'succeeded', 'failed')", name="status"),
    Index(None, "source", "id"),
)

source_state = Table(
    "source_state",
    metadata,
    Column("source", Text, primary_key=True, comment="a declared source's name"),
    Column("unit", Text, primary_key=True, comment="a file's path, a feed's address, or query"),
    Column("config_sha256", LargeBinary, nullable=False, comment="sha256 of how it was read: another, read again"),
    Column("size", BigInteger),
    Column("modified_at", DateTime(timezone=True)),
    Column("sha256", LargeBinary, comment="of the file, or of the feed's document"),
    Column("etag", Text),
    Column("last_modified", Text, comment="as the feed's server wrote it"),
    Column("watermark", JSONB, comment="kind and value"),
    _now("seen_at"),
)

rejected_rows = Table(
    "rejected_rows",
    metadata,
    _key(),
    Column("source", Text, nullable=False),
    Column("position", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("row", Text, nullable=False),
    Column("row_hash", LargeBinary, nullable=False, comment="sha256 of the row: the same one is kept once"),
    _now("rejected_at"),
    Column("run_id", ForeignKey(ingest_runs.c.id)),
    Column("unit", Text, comment="a file's path, a feed's address, or query"),
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
    _now("failed_at"),
)

training_runs = Table(
    "training_runs",
    metadata,
    _key(),
    Column("training_key", Text, nullable=False, comment="of what is trained: the same one goes on"),
    Column("status", Text, nullable=False, server_default="running"),
    Column("attempts", Integer, nullable=False, server_default="1"),
    Column("steps", Integer, nullable=False, comment="of all epochs"),
    Column("epochs", Integer, nullable=False, comment="it may stop sooner"),
    Column("step", Integer, nullable=False, server_default="0", comment="done"),
    Column("epoch", Integer, nullable=False, server_default="1"),
    Column("loss", Double, comment="mean since the epoch's start"),
    Column("seconds", Double, nullable=False, server_default="0", comment="spent, in all attempts"),
    Column("seconds_left", Double),
    Column("model_id", ForeignKey(models.c.id, ondelete="SET NULL"), comment="what it became"),
    Column("error", Text, comment="one line, where it failed"),
    _now("started_at"),
    _now("last_heartbeat_at"),
    Column("finished_at", DateTime(timezone=True)),
    CheckConstraint("status IN ('running', 'succeeded', 'failed')", name="status"),
    Index(None, "training_key", "id"),
)

training_metrics = Table(
    "training_metrics",
    metadata,
    Column("run_id", ForeignKey(training_runs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("step", Integer, primary_key=True, autoincrement=False),
    Column("epoch", Integer, nullable=False),
    Column("loss", Double, nullable=False, comment="mean since the epoch's start"),
    Column("accuracy", Double, comment="on the validation split, at an epoch's end"),
    Column("macro_f1", Double, comment="on the validation split, at an epoch's end"),
    Column("seconds", Double, nullable=False, comment="since the training's start, in all attempts"),
    _now("recorded_at"),
)

drift_runs = Table(
    "drift_runs",
    metadata,
    _key(),
    Column("model_id", ForeignKey(models.c.id, ondelete="CASCADE"), nullable=False),
    _now("ran_at"),
    Column("since", DateTime(timezone=True), comment="when the first of the articles came"),
    Column("articles", Integer, nullable=False, comment="looked at, which the champion had labelled"),
    Column("audited", Integer, nullable=False, comment="articles drawn at random and reviewed"),
    Column(
        "category_drift",
        Double,
        comment="of the categories predicted then and now: Jensen-Shannon distance, 0 to 1",
    ),
    Column("length_drift", Double, comment="the same for the texts' lengths"),
    Column("confidence_drift", Double, comment="the same for confidence"),
    Column("confidence", Double, comment="mean"),
    Column("abstained", Double, comment="share of the articles"),
    Column("estimated_accuracy", Double, comment="told from confidence"),
    Column("audited_accuracy", Double, comment="share of the audited articles that was right"),
    Column("findings", JSONB, nullable=False, comment="every check, with its figures"),
    Column("alarms", ARRAY(Text), nullable=False, comment="the checks that gave alarm"),
    Index(None, "model_id", "id"),
)

text_clusters = Table(
    "text_clusters",
    MetaData(),  # a view, as below
    Column("fingerprint", LargeBinary),
    Column("cluster_id", BigInteger),
)

annotations_in_force = Table(
    "annotations_in_force",
    MetaData(),  # a view, as below
    Column("id", BigInteger),
    Column("article_id", BigInteger),
    Column("revision", Integer),
    Column("category", Text),
    Column("annotator", Text),
    Column("annotated_at", DateTime(timezone=True)),
    Column("comment", Text),
    Column("is_resolution", Boolean),
)

article_labels = Table(
    "article_labels",
    MetaData(),  # a view: migrations create it, so it is not part of the tables' metadata
    Column("article_id", BigInteger),
    Column("source", Text),
    Column("external_id", Text),
    Column("label", Text),
    Column("origin", Text),
    Column("confidence", REAL),
    Column("labelled_at", DateTime(timezone=True)),
    Column("model", Text),
    Column("split", Text),
    Column("published_at", DateTime(timezone=True)),
    Column("abstained", Boolean),
)
