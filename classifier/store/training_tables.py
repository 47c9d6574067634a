"""The tables of trainings in progress and their metrics, as SQLAlchemy Core describes them."""

from sqlalchemy import CheckConstraint, Column, DateTime, Double, ForeignKey, Index, Integer, Table, Text

from classifier.store.table_conventions import identity, metadata, now

training_runs = Table(
    "training_runs",
    metadata,
    identity(),
    Column("task_id", ForeignKey("tasks.id"), nullable=False),
    Column("training_key", Text, nullable=False, comment="hash of recipe and data; the same key resumes"),
    Column("status", Text, nullable=False, server_default="running"),
    Column("attempts", Integer, nullable=False, server_default="1"),
    Column("steps", Integer, nullable=False, comment="total, over all epochs"),
    Column("epochs", Integer, nullable=False, comment="maximum; the training may stop early"),
    Column("step", Integer, nullable=False, server_default="0", comment="completed steps"),
    Column("epoch", Integer, nullable=False, server_default="1"),
    Column("loss", Double, comment="mean since the start of the epoch"),
    Column("seconds", Double, nullable=False, server_default="0", comment="duration of all attempts"),
    Column("seconds_left", Double),
    Column("model_id", ForeignKey("models.id", ondelete="SET NULL"), comment="the trained model"),
    Column("error", Text, comment="one line; null: it did not fail"),
    now("started_at"),
    now("last_heartbeat_at"),
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
    Column("loss", Double, nullable=False, comment="mean since the start of the epoch"),
    Column("accuracy", Double, comment="on the validation split, at the end of an epoch"),
    Column("macro_f1", Double, comment="on the validation split, at the end of an epoch"),
    Column("seconds", Double, nullable=False, comment="since the start of the training, over all attempts"),
    now("recorded_at"),
)
