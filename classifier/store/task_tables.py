"""The tables of tasks and of their categories, as SQLAlchemy Core describes them.

What the recorded names of categories mean today is derived from `category_changes`. The arrays of `tasks` repeat it for
the views, which read them with the row of the task. The columns of `categories` repeat it for readers.
"""

from sqlalchemy import BigInteger, CheckConstraint, Column, DateTime, ForeignKey, Index, SmallInteger, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY

from classifier.store.table_conventions import identity, metadata, now


def _names(name: str, comment: str) -> Column[list[str]]:
    return Column(name, ARRAY(Text), nullable=False, server_default="{}", comment=comment)


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
    _names("former_names", "recorded names of categories that have another name today"),
    _names("present_names", "for each of the former names, its name today"),
    _names("merged_names", "recorded names that became part of another category"),
    _names("split_names", "recorded names of categories that were split"),
    _names("retired_names", "present names of retired categories"),
    _names("child_names", "present names of categories with a parent"),
    _names("parent_names", "for each of these, its parent"),
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
    Column("name", Text, primary_key=True, comment="as recorded"),
    now("created_at"),
    Column("present_name", Text, comment="the name today; null: as recorded"),
    Column("state", Text, nullable=False, server_default="active"),
    Column("description", Text, nullable=False, server_default=""),
    Column("path", ARRAY(Text), comment="its ancestors, the topmost first, and itself; null: it is not in a tree"),
    CheckConstraint(text("name <> ''"), name="name"),
    CheckConstraint("state IN ('active', 'retired', 'split')", name="state"),
    comment="categories of annotations that were not retracted, and of changes",
)

category_changes = Table(
    "category_changes",
    metadata,
    identity(),
    Column("task_id", ForeignKey(tasks.c.id), nullable=False),
    Column("kind", Text, nullable=False),
    Column("names", ARRAY(Text), nullable=False, comment="the categories that were changed; of an undo: none"),
    Column(
        "targets", ARRAY(Text), nullable=False, comment="the new name, the merged category, the parts, or the parent"
    ),
    Column(
        "description",
        Text,
        nullable=False,
        server_default="",
        comment="the new one; of an import, a tree as JSON",
    ),
    Column("reason", Text, nullable=False, server_default=""),
    Column("changed_by", Text, nullable=False),
    now("changed_at"),
    CheckConstraint(
        "kind IN ('rename', 'merge', 'split', 'retire', 'restore', 'describe', 'move', 'import', 'undo')", name="kind"
    ),
    Index(None, "task_id", "id"),
    comment="changes of categories; an undo takes back the last change that still counts",
)
