"""The life of categories: rename, merge, split, retire, describe and arrange them.

What was recorded does not change. Views translate it into the categories of today.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0005"
down_revision = "0004"

_FORMER = (
    "article_labels",
    "article_label_sets",
    "annotation_conflicts",
    "annotation_opinions",
    "effective_annotations",
    "annotations_in_force",
)
"""The views that are replaced; a view comes before those that it reads."""

_ARRAYS = {
    "former_names": "recorded names of categories that have another name today",
    "present_names": "for each of the former names, its name today",
    "merged_names": "recorded names that became part of another category",
    "split_names": "recorded names of categories that were split",
    "retired_names": "present names of retired categories",
}


def upgrade() -> None:
    for view in _FORMER:
        op.execute(f"DROP VIEW {view}")
    for name, comment in _ARRAYS.items():
        column: sa.Column[list[str]] = sa.Column(
            name, postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False, comment=comment
        )
        op.add_column("tasks", column)
    _categories()
    _category_changes()
    op.drop_constraint(op.f("ck_review_queue_reason"), "review_queue")
    reasons = "reason IN ('uncertain', 'diverse', 'rare', 'rewritten', 'split', 'audit')"
    op.create_check_constraint(op.f("ck_review_queue_reason"), "review_queue", reasons)
    for definition in (*FUNCTIONS.values(), *VIEWS.values()):
        op.execute(definition)


def _categories() -> None:
    op.alter_column("categories", "name", comment="as recorded")
    op.add_column("categories", sa.Column("present_name", sa.Text(), comment="the name today; null: as recorded"))
    op.add_column("categories", sa.Column("state", sa.Text(), server_default="active", nullable=False))
    op.add_column("categories", sa.Column("description", sa.Text(), server_default="", nullable=False))
    op.add_column(
        "categories",
        sa.Column(
            "path",
            postgresql.ARRAY(sa.Text()),
            comment="its ancestors, the topmost first, and itself; null: it is not in a tree",
        ),
    )
    op.create_check_constraint(op.f("ck_categories_state"), "categories", "state IN ('active', 'retired', 'split')")
    op.create_table_comment("categories", "categories of annotations that were not retracted, and of changes")


def _category_changes() -> None:
    names = postgresql.ARRAY(sa.Text())
    op.create_table(
        "category_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("task_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("names", names, nullable=False, comment="the categories that were changed; of an undo: none"),
        sa.Column(
            "targets", names, nullable=False, comment="the new name, the merged category, the parts, or the parent"
        ),
        sa.Column(
            "description",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="the new one; of an import, a tree as JSON",
        ),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint(
            "kind IN ('rename', 'merge', 'split', 'retire', 'restore', 'describe', 'move', 'import', 'undo')",
            name=op.f("ck_category_changes_kind"),
        ),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_category_changes_task_id_tasks")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_category_changes")),
        comment="changes of categories; an undo takes back the last change that still counts",
    )
    op.create_index(op.f("ix_category_changes_task_id_id"), "category_changes", ["task_id", "id"])


def downgrade() -> None:
    """Go back to categories that cannot change.

    Raises:
        RuntimeError: categories were changed, which version 0004 cannot show.
    """
    if op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM category_changes)")):
        raise RuntimeError("categories were changed, which version 0004 cannot show")
    for view in reversed(VIEWS):
        op.execute(f"DROP VIEW {view}")
    for function in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DELETE FROM review_queue WHERE reason = 'split'")
    op.drop_constraint(op.f("ck_review_queue_reason"), "review_queue")
    reasons = "reason IN ('uncertain', 'diverse', 'rare', 'rewritten', 'audit')"
    op.create_check_constraint(op.f("ck_review_queue_reason"), "review_queue", reasons)
    op.drop_table("category_changes")
    op.drop_constraint(op.f("ck_categories_state"), "categories")
    for column in ("path", "description", "state", "present_name"):
        op.drop_column("categories", column)
    op.alter_column("categories", "name", comment=None)
    op.create_table_comment("categories", "categories of annotations that were not retracted")
    for name in reversed(_ARRAYS):
        op.drop_column("tasks", name)
    script = op.get_context().script
    assert script is not None
    former = script.get_revision("0004").module.VIEWS
    for view in reversed(_FORMER):
        op.execute(former[view])


FUNCTIONS = {
    # Called only if a name has changed, so that labels cost nothing more until then.
    "present_categories": """
CREATE FUNCTION present_categories(names text[], former text[], present text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT CASE
        WHEN NOT names && former THEN names
        ELSE ARRAY(
            SELECT DISTINCT coalesce(present[array_position(former, name)], name) COLLATE "C"
            FROM unnest(names) AS name
            ORDER BY 1
        )
    END
$$;
COMMENT ON FUNCTION present_categories IS 'The names of today of recorded categories, sorted, each once'
""",
    # Of equally probable categories the first one counts, as in labelling.
    "merge_predictions": """
CREATE FUNCTION merge_predictions(
    kind text, categories text[], indices smallint[], predicted real[], former text[], present text[],
    OUT labels text[], OUT probabilities real[], OUT confidence real
)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    WITH recorded AS (
        SELECT
            coalesce(present[array_position(former, name)], name) AS name, probability, position,
            position = ANY(indices) AS given
        FROM unnest(categories, predicted) WITH ORDINALITY AS each_category (name, probability, position)
    ), merged AS (
        SELECT
            name, min(position) AS position, bool_or(given) AS given,
            CASE kind WHEN 'single' THEN sum(probability ORDER BY position) ELSE max(probability) END AS probability
        FROM recorded
        GROUP BY name
    ), chosen AS (
        SELECT name, position, probability
        FROM merged
        WHERE kind = 'single' OR given
        ORDER BY CASE kind WHEN 'single' THEN - probability END, position
        LIMIT CASE kind WHEN 'single' THEN 1 END
    )
    SELECT
        coalesce(array_agg(name ORDER BY position), '{}'), coalesce(array_agg(probability ORDER BY position), '{}'),
        CASE kind WHEN 'single' THEN max(probability) END
    FROM chosen
$$;
COMMENT ON FUNCTION merge_predictions IS
    'The labels of a prediction by a model whose categories were merged: summed, or of several labels the highest'
""",
    "knows_split": """
CREATE FUNCTION knows_split(names text[], categories text[], split text[], former text[], present text[])
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT EXISTS (
        SELECT
        FROM unnest(categories) AS name
        WHERE name = ANY(split) AND coalesce(present[array_position(former, name)], name) = ANY(names)
    )
$$;
COMMENT ON FUNCTION knows_split IS
    'Whether a model has a category that was split, and that is among these names: then it is older than the split'
""",
    "label_path": """
CREATE FUNCTION label_path(task text, label text) RETURNS text[]
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT coalesce(
        (
            SELECT path
            FROM categories
            WHERE task_id = (SELECT id FROM tasks WHERE tasks.name = label_path.task)
              AND categories.name = label_path.label
        ),
        CASE WHEN label IS NOT NULL THEN ARRAY[label] END
    )
$$;
COMMENT ON FUNCTION label_path IS 'The ancestors of a label of article_labels, the topmost first, and the label itself'
""",
}
"""By name. A function comes after the functions that it calls."""

_IS_MERGED = "cardinality(tasks.merged_names) > 0 AND predicted.categories && tasks.merged_names"
"""Whether categories of the model were merged since."""

_LABELS = """CASE
        WHEN predicted.model_id IS NULL THEN NULL
        WHEN cardinality(predicted.category_indices) = 1 AND cardinality(tasks.former_names) = 0
        THEN ARRAY[predicted.categories[predicted.category_indices[1]]]
        WHEN cardinality(tasks.merged_names) > 0 AND predicted.categories && tasks.merged_names
        THEN (merge_predictions(
            tasks.kind, predicted.categories, predicted.category_indices, predicted.probabilities,
            tasks.former_names, tasks.present_names
        )).labels
        WHEN cardinality(predicted.category_indices) = 1
        THEN ARRAY[coalesce(
            tasks.present_names[array_position(
                tasks.former_names, predicted.categories[predicted.category_indices[1]]
            )],
            predicted.categories[predicted.category_indices[1]]
        )]
        ELSE ARRAY(
            SELECT coalesce(
                tasks.present_names[array_position(tasks.former_names, predicted.categories[position])],
                predicted.categories[position]
            )
            FROM unnest(predicted.category_indices) AS position
        )
    END"""
"""The labels of today of a prediction with its model and its task: columns of `predicted` and `tasks`.

In CASE, the function is called only for a model whose categories were merged since.
"""

_CONFIDENCES = """CASE
        WHEN predicted.model_id IS NULL THEN NULL
        WHEN cardinality(tasks.merged_names) > 0 AND predicted.categories && tasks.merged_names
        THEN (merge_predictions(
            tasks.kind, predicted.categories, predicted.category_indices, predicted.probabilities,
            tasks.former_names, tasks.present_names
        )).probabilities
        WHEN cardinality(predicted.category_indices) = 1
        THEN ARRAY[predicted.probabilities[predicted.category_indices[1]]]
        ELSE ARRAY(SELECT predicted.probabilities[position] FROM unnest(predicted.category_indices) AS position)
    END"""
"""The probabilities of these labels."""

_CONFIDENCE = """CASE
        WHEN tasks.kind = 'single'
            AND cardinality(tasks.merged_names) > 0
            AND predicted.categories && tasks.merged_names
        THEN (merge_predictions(
            tasks.kind, predicted.categories, predicted.category_indices, predicted.probabilities,
            tasks.former_names, tasks.present_names
        )).confidence
        ELSE predicted.confidence
    END"""
"""The confidence of the prediction."""

_IS_ANNOTATED = """annotated.categories IS NOT NULL AND (
            NOT annotated.is_former
            OR predicted.model_id IS NULL
            OR knows_split(
                annotated.categories, predicted.categories, tasks.split_names, tasks.former_names, tasks.present_names
            )
        )"""
"""Whether the annotation is shown. One with a category that was split is, until a champion knows the parts.

The join with annotations does not depend on the prediction: else the planner could not begin with it.
"""

_SOURCE = """FROM articles
JOIN tasks ON tasks.archived_at IS NULL
LEFT JOIN (
    SELECT predictions.*, models.task_id, models.name AS model, models.threshold, models.categories
    FROM predictions
    JOIN models ON models.id = predictions.model_id AND models.status = 'champion'
) AS predicted
    ON predicted.article_id = articles.id
    AND predicted.task_id = tasks.id
    AND predicted.revision = articles.revision
LEFT JOIN LATERAL (
    SELECT categories, annotated_at, false AS is_former
    FROM effective_annotations AS counts
    WHERE counts.article_id = articles.id AND counts.task_id = tasks.id
    UNION ALL
    SELECT categories, annotated_at, true
    FROM annotations_before_split AS former
    WHERE cardinality(tasks.split_names) > 0
      AND former.article_id = articles.id
      AND former.task_id = tasks.id
      AND NOT EXISTS (
          SELECT FROM annotations_in_force AS own WHERE own.article_id = articles.id AND own.task_id = tasks.id
      )
    LIMIT 1
) AS annotated ON true"""
"""Where the labels of articles come from. OFFSET 0: the annotation of each article is looked up by the index."""

VIEWS = {
    # The join with tasks finds one row by its key. Without a change of categories, nothing is translated.
    "annotations_in_force": """
CREATE VIEW annotations_in_force AS
SELECT
    annotations.id, annotations.article_id, annotations.task_id, annotations.revision,
    CASE
        WHEN cardinality(tasks.former_names) = 0 THEN annotations.categories
        ELSE present_categories(annotations.categories, tasks.former_names, tasks.present_names)
    END AS categories,
    annotations.annotator, annotations.annotated_at, annotations.comment, annotations.is_resolution
FROM annotations
JOIN tasks ON tasks.id = annotations.task_id
LEFT JOIN articles AS replaced
    ON replaced.id = annotations.article_id
    AND replaced.content_revision > annotations.revision
    AND replaced.content_revision > 1
WHERE replaced.id IS NULL
  AND annotations.retracted_at IS NULL
  AND (cardinality(tasks.split_names) = 0 OR NOT annotations.categories && tasks.split_names);
COMMENT ON VIEW annotations_in_force IS
    'Annotations that hold for their article''s present text, and were not retracted, with today''s categories'
""",
    "annotations_before_split": """
CREATE VIEW annotations_before_split AS
SELECT DISTINCT ON (annotations.article_id, annotations.task_id)
    annotations.article_id, annotations.task_id, annotations.revision,
    present_categories(annotations.categories, tasks.former_names, tasks.present_names) AS categories,
    annotations.annotator, annotations.annotated_at
FROM annotations
JOIN tasks ON tasks.id = annotations.task_id
LEFT JOIN articles AS replaced
    ON replaced.id = annotations.article_id
    AND replaced.content_revision > annotations.revision
    AND replaced.content_revision > 1
WHERE replaced.id IS NULL
  AND annotations.retracted_at IS NULL
  AND annotations.categories && tasks.split_names
ORDER BY annotations.article_id, annotations.task_id, annotations.annotator LIKE 'source:%', annotations.id DESC;
COMMENT ON VIEW annotations_before_split IS
    'Of each article and task, the annotation with a category that was split since; it is no longer in force'
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
    "predicted_labels": f"""
CREATE VIEW predicted_labels AS
SELECT
    predicted.article_id,
    predicted.task_id,
    predicted.model_id,
    predicted.model,
    predicted.status,
    predicted.revision,
    {_LABELS} AS labels,
    {_CONFIDENCES} AS confidences,
    {_CONFIDENCE} AS confidence,
    predicted.threshold,
    predicted.categories AS model_categories,
    predicted.predicted_at
FROM (
    SELECT predictions.*, models.task_id, models.name AS model, models.status, models.threshold, models.categories
    FROM predictions
    JOIN models ON models.id = predictions.model_id
) AS predicted
JOIN tasks ON tasks.id = predicted.task_id;
COMMENT ON VIEW predicted_labels IS
    'The labels of every model''s predictions, with today''s categories and their probabilities'
""",  # noqa: S608 - the parts are those of this file
    "article_label_sets": f"""
CREATE VIEW article_label_sets AS
SELECT
    articles.id AS article_id,
    articles.source,
    articles.external_id,
    tasks.name AS task,
    CASE WHEN {_IS_ANNOTATED} THEN annotated.categories ELSE {_LABELS} END AS labels,
    CASE WHEN {_IS_ANNOTATED} THEN NULL ELSE {_CONFIDENCES} END AS confidences,
    CASE
        WHEN {_IS_ANNOTATED} THEN 'annotation'
        WHEN predicted.model_id IS NOT NULL THEN 'prediction'
    END AS origin,
    CASE WHEN {_IS_ANNOTATED} THEN annotated.annotated_at ELSE predicted.predicted_at END AS labelled_at,
    CASE WHEN {_IS_ANNOTATED} THEN NULL ELSE predicted.model END AS model,
    articles.split,
    articles.published_at,
    CASE
        WHEN {_IS_ANNOTATED} THEN false
        ELSE {_CONFIDENCE} < coalesce(predicted.threshold, 0)
    END AS abstained,
    articles.title,
    articles.url
{_SOURCE};
COMMENT ON VIEW article_label_sets IS
    'The labels of each article and task: the annotation that counts, else the champion''s prediction; null: none yet'
""",
    # Labels are unnested in a select list, because a function in FROM takes several times as long.
    "article_labels": f"""
CREATE VIEW article_labels AS
SELECT
    articles.id AS article_id,
    articles.source,
    articles.external_id,
    tasks.name AS task,
    CASE
        WHEN each_label.name IS NOT NULL THEN each_label.name
        WHEN cardinality(tasks.former_names) = 0 THEN predicted.categories[each_label.position]
        ELSE coalesce(
            tasks.present_names[array_position(tasks.former_names, predicted.categories[each_label.position])],
            predicted.categories[each_label.position]
        )
    END AS label,
    CASE
        WHEN {_IS_ANNOTATED} THEN 'annotation'
        WHEN predicted.model_id IS NOT NULL THEN 'prediction'
    END AS origin,
    coalesce(each_label.confidence, predicted.probabilities[each_label.position]) AS confidence,
    CASE WHEN {_IS_ANNOTATED} THEN annotated.annotated_at ELSE predicted.predicted_at END AS labelled_at,
    CASE WHEN {_IS_ANNOTATED} THEN NULL ELSE predicted.model END AS model,
    articles.split,
    articles.published_at,
    CASE
        WHEN {_IS_ANNOTATED} THEN false
        ELSE {_CONFIDENCE} < coalesce(predicted.threshold, 0)
    END AS abstained,
    articles.title,
    articles.url
{_SOURCE}
LEFT JOIN LATERAL (
    SELECT
        unnest(
            CASE
                WHEN {_IS_ANNOTATED} THEN annotated.categories
                WHEN {_IS_MERGED} THEN {_LABELS}
            END
        ) AS name,
        unnest(CASE WHEN {_IS_ANNOTATED} THEN NULL WHEN {_IS_MERGED} THEN {_CONFIDENCES} END) AS confidence,
        unnest(
            CASE WHEN {_IS_ANNOTATED} THEN NULL WHEN {_IS_MERGED} THEN NULL ELSE predicted.category_indices END
        ) AS position
) AS each_label ON true;
COMMENT ON VIEW article_labels IS
    'The labels of article_label_sets, one row each; without a label, origin is null for an article that waits'
""",
}
"""By name. A view comes after the views that it reads."""
