"""Tasks: several classifiers over the same articles, each with one category or several for an article.

What is there belongs to one task, named default.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"

_FORMER = (
    "article_labels",
    "annotation_conflicts",
    "annotation_opinions",
    "effective_annotations",
    "annotations_in_force",
)
"""The views that are replaced; a view comes before those that it reads."""


def upgrade() -> None:
    for view in _FORMER:
        op.execute(f"DROP VIEW {view}")
    _create_tables()
    _annotations()
    _models()
    _predictions()
    _queues()
    _evaluations()
    for definition in VIEWS.values():
        op.execute(definition)


def _create_tables() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False, comment="single: an article has one category; multi: any number"),
        sa.Column(
            "min_labels", sa.SmallInteger(), nullable=False, comment="labels that a model gives an article at least"
        ),
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("archived_at", sa.DateTime(timezone=True), comment="null: the task is not archived"),
        sa.CheckConstraint("kind IN ('single', 'multi')", name=op.f("ck_tasks_kind")),
        sa.CheckConstraint("min_labels = 1 OR (min_labels = 0 AND kind = 'multi')", name=op.f("ck_tasks_min_labels")),
        sa.CheckConstraint("name <> ''", name=op.f("ck_tasks_name")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        sa.UniqueConstraint("name", name=op.f("uq_tasks_name")),
        comment="questions asked of articles, such as their topic",
    )
    op.execute("INSERT INTO tasks (name, kind, min_labels) VALUES ('default', 'single', 1)")
    op.create_table(
        "categories",
        sa.Column("task_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("name <> ''", name=op.f("ck_categories_name")),
        sa.PrimaryKeyConstraint("task_id", "name", name=op.f("pk_categories")),
        comment="categories of annotations that were not retracted",
    )
    op.execute(
        "INSERT INTO categories (task_id, name)"
        " SELECT DISTINCT tasks.id, category FROM annotations, tasks WHERE retracted_at IS NULL"
    )


def _add_task(table: str, *, references: bool = True) -> None:
    """Add a column with the task of each row: the only one there is."""
    op.add_column(table, sa.Column("task_id", sa.BigInteger()))
    # the names of tables are those of this file
    op.execute(f"UPDATE {table} SET task_id = (SELECT id FROM tasks)")  # noqa: S608
    op.alter_column(table, "task_id", nullable=False)
    if references:
        op.create_foreign_key(op.f(f"fk_{table}_task_id_tasks"), table, "tasks", ["task_id"], ["id"])


def _to_array(table: str, column: str, name: str, comment: str) -> None:
    """Turn a text column into an array of that text, with another name."""
    op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE text[] USING ARRAY[{column}]")
    op.alter_column(table, column, new_column_name=name)
    op.execute(f"COMMENT ON COLUMN {table}.{name} IS '{comment}'")


def _annotations() -> None:
    _add_task("annotations", references=False)
    op.drop_constraint(op.f("ck_annotations_category"), "annotations")
    op.drop_index(op.f("ix_annotations_category"), "annotations")
    op.drop_index(op.f("ix_annotations_article_id_id"), "annotations")
    _to_array("annotations", "category", "categories", "sorted; one of a single-label task")
    op.create_check_constraint(
        op.f("ck_annotations_categories"),
        "annotations",
        "array_position(categories, '') IS NULL AND array_position(categories, NULL) IS NULL",
    )
    op.create_index(op.f("ix_annotations_article_id_task_id_id"), "annotations", ["article_id", "task_id", "id"])


def _models() -> None:
    _add_task("models")
    _add_task("training_runs")
    op.add_column(
        "models",
        sa.Column(
            "thresholds",
            postgresql.ARRAY(sa.REAL()),
            comment="of a multi-label model: probability from which it gives each category",
        ),
    )
    op.drop_index("uq_models_champion", "models")
    op.create_index(
        "uq_models_champion", "models", ["task_id"], unique=True, postgresql_where=sa.text("status = 'champion'")
    )


def _predictions() -> None:
    op.add_column(
        "predictions",
        sa.Column(
            "category_indices", postgresql.ARRAY(sa.SmallInteger()), comment="positions in models.categories, from 1"
        ),
    )
    op.execute("DELETE FROM predictions WHERE model_id NOT IN (SELECT id FROM models)")
    op.execute(
        "UPDATE predictions SET category_indices = ARRAY[CAST(array_position(models.categories, category) AS smallint)]"
        " FROM models WHERE models.id = model_id"
    )
    op.alter_column("predictions", "category_indices", nullable=False)
    op.drop_column("predictions", "category")
    op.alter_column("predictions", "confidence", comment="of a multi-label model: that its labels are exactly right")


def _queues() -> None:
    _add_task("labelling_queue", references=False)
    op.drop_constraint(op.f("pk_labelling_queue"), "labelling_queue")
    op.create_primary_key(op.f("pk_labelling_queue"), "labelling_queue", ["article_id", "task_id"])
    op.drop_index(op.f("ix_labelling_queue_priority_article_id"), "labelling_queue")
    op.create_index(
        op.f("ix_labelling_queue_task_id_priority_article_id"),
        "labelling_queue",
        ["task_id", "priority", "article_id"],
    )
    _to_array("review_queue", "predicted_category", "predicted_categories", "when the article was queued")


def _evaluations() -> None:
    for column, name, comment in (
        ("annotated_category", "annotated_categories", "the annotation that counted then"),
        ("baseline_category", "baseline_categories", "predicted by the TF-IDF baseline"),
    ):
        _to_array("evaluation_predictions", column, name, comment)


def downgrade() -> None:
    """Go back to one task.

    Raises:
        RuntimeError: there are several tasks, or a multi-label one.
    """
    if op.get_bind().scalar(sa.text("SELECT count(*) <> 1 OR min(kind) = 'multi' FROM tasks")):
        raise RuntimeError("there are several tasks, or a multi-label one, which version 0003 cannot hold")
    for view in reversed(VIEWS):
        op.execute(f"DROP VIEW {view}")
    for table, column, name in (
        ("evaluation_predictions", "baseline_categories", "baseline_category"),
        ("evaluation_predictions", "annotated_categories", "annotated_category"),
        ("review_queue", "predicted_categories", "predicted_category"),
    ):
        _to_text(table, column, name)
    op.drop_index(op.f("ix_labelling_queue_task_id_priority_article_id"), "labelling_queue")
    op.create_index(op.f("ix_labelling_queue_priority_article_id"), "labelling_queue", ["priority", "article_id"])
    op.drop_constraint(op.f("pk_labelling_queue"), "labelling_queue")
    op.create_primary_key(op.f("pk_labelling_queue"), "labelling_queue", ["article_id"])
    op.add_column("predictions", sa.Column("category", sa.Text()))
    op.execute(
        "UPDATE predictions SET category = models.categories[category_indices[1]]"
        " FROM models WHERE models.id = model_id"
    )
    op.alter_column("predictions", "category", nullable=False)
    op.drop_column("predictions", "category_indices")
    op.drop_index("uq_models_champion", "models")
    op.create_index(
        "uq_models_champion", "models", ["status"], unique=True, postgresql_where=sa.text("status = 'champion'")
    )
    op.drop_column("models", "thresholds")
    op.drop_constraint(op.f("ck_annotations_categories"), "annotations")
    op.drop_index(op.f("ix_annotations_article_id_task_id_id"), "annotations")
    _to_text("annotations", "categories", "category")
    op.create_check_constraint(op.f("ck_annotations_category"), "annotations", "category <> ''")
    op.create_index(op.f("ix_annotations_category"), "annotations", ["category"])
    op.create_index(op.f("ix_annotations_article_id_id"), "annotations", ["article_id", "id"])
    for table in ("labelling_queue", "training_runs", "models", "annotations"):
        op.drop_column(table, "task_id")
    op.drop_table("categories")
    op.drop_table("tasks")
    for view in reversed(_FORMER):
        op.execute(_former_view(view))


def _to_text(table: str, column: str, name: str) -> None:
    op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} TYPE text USING {column}[1]")
    op.alter_column(table, column, new_column_name=name, comment=None)


def _former_view(name: str) -> str:
    """Return the last definition of a view before this migration."""
    script = op.get_context().script
    assert script is not None
    modules = (script.get_revision(former).module for former in ("0003", "0002", "0001"))
    definition: str = next(module.VIEWS[name] for module in modules if name in module.VIEWS)
    return definition


VIEWS = {
    # The annotations that hold for their article's present text.
    "annotations_in_force": """
CREATE VIEW annotations_in_force AS
SELECT
    annotations.id, annotations.article_id, annotations.task_id, annotations.revision, annotations.categories,
    annotations.annotator, annotations.annotated_at, annotations.comment, annotations.is_resolution
FROM annotations
LEFT JOIN articles AS replaced
    ON replaced.id = annotations.article_id
    AND replaced.content_revision > annotations.revision
    AND replaced.content_revision > 1
WHERE replaced.id IS NULL AND annotations.retracted_at IS NULL;
COMMENT ON VIEW annotations_in_force IS
    'Annotations that hold for their article''s present text, and were not retracted'
""",
    # Of several annotations in force, a person's counts before a source's, and the newest before older ones.
    "effective_annotations": """
CREATE VIEW effective_annotations AS
SELECT DISTINCT ON (article_id, task_id) article_id, task_id, revision, categories, annotator, annotated_at
FROM annotations_in_force
ORDER BY article_id, task_id, annotator LIKE 'source:%', id DESC;
COMMENT ON VIEW effective_annotations IS
    'The annotation that counts for each article and task: a person''s before a source''s, then the newest'
""",
    # A resolution supersedes what people annotated before it.
    "annotation_opinions": """
CREATE VIEW annotation_opinions AS
SELECT DISTINCT ON (article_id, task_id, annotator) article_id, task_id, annotator, categories, comment, annotated_at
FROM (
    SELECT
        id, article_id, task_id, annotator, categories, comment, annotated_at,
        max(id) FILTER (WHERE is_resolution) OVER (PARTITION BY article_id, task_id) AS resolution
    FROM annotations_in_force
    WHERE annotator NOT LIKE 'source:%'
) AS by_people
WHERE id >= coalesce(resolution, 0)
ORDER BY article_id, task_id, annotator, id DESC;
COMMENT ON VIEW annotation_opinions IS
    'Each person''s last annotation of an article''s present text for a task, since the last resolution'
""",
    # Only articles that have two different annotations by people are examined closely.
    "annotation_conflicts": """
CREATE VIEW annotation_conflicts AS
SELECT suspects.article_id, suspects.task_id
FROM (
    SELECT article_id, task_id
    FROM annotations_in_force
    WHERE annotator NOT LIKE 'source:%'
    GROUP BY article_id, task_id
    HAVING min(categories) <> max(categories)
) AS suspects
WHERE (
    SELECT min(opinions.categories) <> max(opinions.categories)
    FROM annotation_opinions AS opinions
    WHERE opinions.article_id = suspects.article_id AND opinions.task_id = suspects.task_id
);
COMMENT ON VIEW annotation_conflicts IS
    'Articles whose annotators disagree about a task; excluded from its training and evaluation'
""",
    # OFFSET 0: the annotation of each article is looked up by the index.
    "article_label_sets": """
CREATE VIEW article_label_sets AS
SELECT
    articles.id AS article_id,
    articles.source,
    articles.external_id,
    tasks.name AS task,
    CASE
        WHEN annotated.categories IS NOT NULL THEN annotated.categories
        WHEN cardinality(predicted.category_indices) = 1
        THEN ARRAY[predicted.categories[predicted.category_indices[1]]]
        WHEN predicted.model_id IS NOT NULL
        THEN ARRAY(SELECT predicted.categories[position] FROM unnest(predicted.category_indices) AS position)
    END AS labels,
    CASE
        WHEN annotated.categories IS NOT NULL THEN NULL
        WHEN cardinality(predicted.category_indices) = 1
        THEN ARRAY[predicted.probabilities[predicted.category_indices[1]]]
        WHEN predicted.model_id IS NOT NULL
        THEN ARRAY(SELECT predicted.probabilities[position] FROM unnest(predicted.category_indices) AS position)
    END AS confidences,
    CASE
        WHEN annotated.categories IS NOT NULL THEN 'annotation'
        WHEN predicted.model_id IS NOT NULL THEN 'prediction'
    END AS origin,
    coalesce(annotated.annotated_at, predicted.predicted_at) AS labelled_at,
    CASE WHEN annotated.categories IS NULL THEN predicted.model END AS model,
    articles.split,
    articles.published_at,
    CASE
        WHEN annotated.categories IS NOT NULL THEN false
        ELSE predicted.confidence < coalesce(predicted.threshold, 0)
    END AS abstained,
    articles.title,
    articles.url
FROM articles
JOIN tasks ON tasks.archived_at IS NULL
LEFT JOIN LATERAL (
    SELECT categories, annotated_at
    FROM effective_annotations AS counts
    WHERE counts.article_id = articles.id AND counts.task_id = tasks.id
    OFFSET 0
) AS annotated ON true
LEFT JOIN (
    SELECT predictions.*, models.task_id, models.name AS model, models.threshold, models.categories
    FROM predictions
    JOIN models ON models.id = predictions.model_id AND models.status = 'champion'
) AS predicted
    ON predicted.article_id = articles.id
    AND predicted.task_id = tasks.id
    AND predicted.revision = articles.revision;
COMMENT ON VIEW article_label_sets IS
    'The labels of each article and task: the annotation that counts, else the champion''s prediction; null: none yet'
""",
    # Positions and names are unnested in a select list, because a function in FROM takes several times as long.
    "article_labels": """
CREATE VIEW article_labels AS
SELECT
    articles.id AS article_id,
    articles.source,
    articles.external_id,
    tasks.name AS task,
    coalesce(each_label.name, predicted.categories[each_label.position]) AS label,
    CASE
        WHEN annotated.categories IS NOT NULL THEN 'annotation'
        WHEN predicted.model_id IS NOT NULL THEN 'prediction'
    END AS origin,
    predicted.probabilities[each_label.position] AS confidence,
    coalesce(annotated.annotated_at, predicted.predicted_at) AS labelled_at,
    CASE WHEN annotated.categories IS NULL THEN predicted.model END AS model,
    articles.split,
    articles.published_at,
    CASE
        WHEN annotated.categories IS NOT NULL THEN false
        ELSE predicted.confidence < coalesce(predicted.threshold, 0)
    END AS abstained,
    articles.title,
    articles.url
FROM articles
JOIN tasks ON tasks.archived_at IS NULL
LEFT JOIN LATERAL (
    SELECT categories, annotated_at
    FROM effective_annotations AS counts
    WHERE counts.article_id = articles.id AND counts.task_id = tasks.id
    OFFSET 0
) AS annotated ON true
LEFT JOIN (
    SELECT predictions.*, models.task_id, models.name AS model, models.threshold, models.categories
    FROM predictions
    JOIN models ON models.id = predictions.model_id AND models.status = 'champion'
) AS predicted
    ON predicted.article_id = articles.id
    AND predicted.task_id = tasks.id
    AND predicted.revision = articles.revision
LEFT JOIN LATERAL (
    SELECT
        unnest(annotated.categories) AS name,
        unnest(CASE WHEN annotated.categories IS NULL THEN predicted.category_indices END) AS position
) AS each_label ON true;
COMMENT ON VIEW article_labels IS
    'The labels of article_label_sets, one row each; without a label, origin is null for an article that waits'
""",
}
"""By name. A view comes after the views that it reads."""
