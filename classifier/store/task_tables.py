"""The tables of tasks and of their categories, as SQLAlchemy Core describes them."""

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, SmallInteger, Table, Text, text

from classifier.store.table_conventions import identity, metadata, now

tasks = Table(
    "tasks",
    metadata,
    identity(),
    Column("name", Text, nullable=False, unique=True),
    Column("kind", Text, nullable=False, comment="single: an article has one category; multi: any number"),
    Column("min_labels", SmallInteger, nullable=False, comment="labels that a model gives an article at least"),
    Column("description", Text, nullable=False, server_default=""),
    now("created_at"),
    Column("archived_at", DateTime(timezone=True), comment="null: the task is not archived"),
    CheckConstraint("kind IN ('single', 'multi')", name="kind"),
    CheckConstraint("min_labels = 1 OR (min_labels = 0 AND kind = 'multi')", name="min_labels"),
    CheckConstraint("name <> ''", name="name"),
    comment="questions asked of articles, such as their topic",
)

categories = Table(
    "categories",
    metadata,
    # No foreign key: an ingest that adds a category would keep the task from being renamed.
    Column("task_id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, primary_key=True),
    now("created_at"),
    CheckConstraint(text("name <> ''"), name="name"),
    comment="categories of annotations that were not retracted",
)
