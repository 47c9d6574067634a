"""A model that is not sure enough may answer the parent of a category, and a split supersedes earlier annotations.

The views of annotations are defined again: an annotation that one with a split category had superseded does not count
again. Those of labels name a parent where the model backs off, and read every label with less work.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0007"
down_revision = "0006"

_ARRAYS = {
    "child_names": "present names of categories with a parent",
    "parent_names": "for each of these, its parent",
}


def upgrade() -> None:
    for view in reversed(_former()):
        op.execute(f"DROP VIEW {view}")
    for name, comment in _ARRAYS.items():
        column: sa.Column[list[str]] = sa.Column(
            name, postgresql.ARRAY(sa.Text()), server_default="{}", nullable=False, comment=comment
        )
        op.add_column("tasks", column)
    op.execute(_STORE_TREES)
    backs_off: sa.Column[bool] = sa.Column(
        "backs_off",
        sa.Boolean(),
        server_default="false",
        nullable=False,
        comment="below the threshold, a parent that reaches it is answered",
    )
    op.add_column("models", backs_off)
    op.create_index(op.f("ix_source_state_unit"), "source_state", ["unit"])
    for definition in (*FUNCTIONS.values(), *VIEWS.values()):
        op.execute(definition)


def downgrade() -> None:
    for view in reversed(VIEWS):
        op.execute(f"DROP VIEW {view}")
    for function in reversed(FUNCTIONS):
        op.execute(f"DROP FUNCTION {function}")
    op.drop_index(op.f("ix_source_state_unit"), "source_state")
    op.drop_column("models", "backs_off")
    for name in _ARRAYS:
        op.drop_column("tasks", name)
    for definition in _former().values():
        op.execute(definition)


def _former() -> dict[str, str]:
    script = op.get_context().script
    assert script is not None
    views: dict[str, str] = script.get_revision("0005").module.VIEWS
    return views


_STORE_TREES = """
UPDATE tasks
SET child_names = trees.children, parent_names = trees.parents
FROM (
    SELECT task_id, array_agg(child ORDER BY child) AS children, array_agg(parent ORDER BY child) AS parents
    FROM (
        SELECT DISTINCT task_id, path[position] AS child, path[position - 1] AS parent
        FROM categories CROSS JOIN generate_subscripts(path, 1) AS position
        WHERE position > 1
    ) AS links
    GROUP BY task_id
) AS trees
WHERE trees.task_id = tasks.id
"""

FUNCTIONS = {
    "is_first_of_merged": """
CREATE FUNCTION is_first_of_merged(
    label smallint, indices smallint[], categories text[], former text[], present text[]
)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT NOT EXISTS (
        SELECT
        FROM unnest(indices) AS earlier
        WHERE earlier < label
          AND coalesce(present[array_position(former, categories[earlier])], categories[earlier])
            = coalesce(present[array_position(former, categories[label])], categories[label])
    )
$$;
COMMENT ON FUNCTION is_first_of_merged IS
    'Whether no label before this one, of the same prediction, has become the same category'
""",
    # A parent's probability is the sum of those of the categories below it, and its own if the model has it.
    "back_off": """
CREATE FUNCTION back_off(
    categories text[], predicted real[], former text[], present text[], children text[], parents text[],
    own_label text, own_confidence real, threshold real,
    OUT label text, OUT confidence real
)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    WITH RECURSIVE above AS (
        SELECT parents[array_position(children, own_label)] AS name, 1 AS level
        UNION ALL
        SELECT parents[array_position(children, name)], level + 1 FROM above WHERE name = ANY(children)
    ), below AS (
        SELECT coalesce(present[array_position(former, recorded)], recorded) AS name, probability, position
        FROM unnest(categories, predicted) WITH ORDINALITY AS each_category (recorded, probability, position)
        UNION ALL
        SELECT parents[array_position(children, name)], probability, position FROM below WHERE name = ANY(children)
    ), parent AS (
        SELECT name, sum(probability ORDER BY position) AS probability
        FROM above JOIN below USING (name)
        GROUP BY name, level
        HAVING sum(probability ORDER BY position) >= threshold
        ORDER BY level
        LIMIT 1
    )
    SELECT coalesce(parent.name, own_label), coalesce(parent.probability, own_confidence)
    FROM (VALUES (1)) AS one_row LEFT JOIN parent ON true
$$;
COMMENT ON FUNCTION back_off IS
    'The nearest ancestor of a label whose probability reaches the threshold, or else the label itself'
""",
    "category_probabilities": """
CREATE FUNCTION category_probabilities(article bigint, task text)
RETURNS TABLE (category text, parent text, probability real)
LANGUAGE sql STABLE
AS $$
    WITH RECURSIVE predicted AS (
        SELECT tasks.kind, former_names, present_names, child_names, parent_names, models.categories, probabilities
        FROM tasks
        JOIN models ON models.task_id = tasks.id AND models.status = 'champion'
        JOIN articles ON articles.id = article
        JOIN predictions
            ON predictions.article_id = articles.id
            AND predictions.model_id = models.id
            AND predictions.revision = articles.revision
        WHERE tasks.name = category_probabilities.task
    ), below AS (
        SELECT
            coalesce(present_names[array_position(former_names, recorded)], recorded) AS name, each_probability,
            position
        FROM predicted
        CROSS JOIN unnest(categories, probabilities) WITH ORDINALITY AS every (recorded, each_probability, position)
        UNION ALL
        SELECT parent_names[array_position(child_names, name)], each_probability, position
        FROM below JOIN predicted ON name = ANY(child_names)
    )
    SELECT
        name, parent_names[array_position(child_names, name)],
        CASE kind WHEN 'single' THEN sum(each_probability ORDER BY position) ELSE max(each_probability) END
    FROM below CROSS JOIN predicted
    GROUP BY name, kind, child_names, parent_names
    ORDER BY 3 DESC, 1
$$;
COMMENT ON FUNCTION category_probabilities IS
    'The champion''s probabilities for an article; a parent has the sum of those below it, or the highest (multi-label)'
""",
}

_IS_MERGED = "cardinality(tasks.merged_names) > 0 AND predicted.categories && tasks.merged_names"
"""Whether categories of the model were merged since."""

_PRESENT_NAME = """coalesce(
            tasks.present_names[array_position(tasks.former_names, predicted.categories[each_label.position])],
            predicted.categories[each_label.position]
        )"""
"""The name of today of one label."""

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

_BACKS_OFF = f"predicted.backs_off AND {_CONFIDENCE} < predicted.threshold"
"""Whether the model answers a parent if one reaches the threshold. Only single-label models have such a threshold."""

_PARENT = f"""back_off(
            predicted.categories, predicted.probabilities, tasks.former_names, tasks.present_names,
            tasks.child_names, tasks.parent_names, ({_LABELS})[1], {_CONFIDENCE}, predicted.threshold
        )"""
"""The parent, or the label itself if no parent reaches the threshold."""

_SHOWN_CONFIDENCE = f"""CASE WHEN {_BACKS_OFF} THEN ({_PARENT}).confidence ELSE {_CONFIDENCE} END"""
"""The confidence of the labels that are shown."""

_SOURCE = """FROM articles
JOIN tasks ON tasks.archived_at IS NULL
LEFT JOIN (
    SELECT
        predictions.*, models.task_id, models.name AS model, models.threshold, models.backs_off, models.categories
    FROM predictions
    JOIN models ON models.id = predictions.model_id AND models.status = 'champion'
) AS predicted
    ON predicted.article_id = articles.id
    AND predicted.task_id = tasks.id
    AND predicted.revision = articles.revision
LEFT JOIN LATERAL (
    SELECT categories, annotated_at
    FROM shown_annotations AS shown
    WHERE shown.article_id = articles.id
      AND shown.task_id = tasks.id
      AND (NOT is_split OR predicted.model_id IS NULL OR knows_split(
          shown.categories, predicted.categories, tasks.split_names, tasks.former_names, tasks.present_names
      ))
    OFFSET 0
) AS annotated ON true"""
"""Where the labels of articles come from. OFFSET 0: the annotation of each article is looked up by the index.

An annotation with a category that was split is shown until a champion that knows the parts has labelled the article.
"""

VIEWS = {
    # The join with tasks finds one row by its key. Without a change of categories, nothing is translated.
    "present_annotations": """
CREATE VIEW present_annotations AS
SELECT
    annotations.id, annotations.article_id, annotations.task_id, annotations.revision,
    CASE
        WHEN cardinality(tasks.former_names) = 0 THEN annotations.categories
        ELSE present_categories(annotations.categories, tasks.former_names, tasks.present_names)
    END AS categories,
    annotations.annotator, annotations.annotated_at, annotations.comment, annotations.is_resolution,
    cardinality(tasks.split_names) > 0 AND annotations.categories && tasks.split_names AS is_split,
    cardinality(tasks.split_names) > 0 AS may_be_split
FROM annotations
JOIN tasks ON tasks.id = annotations.task_id
LEFT JOIN articles AS replaced
    ON replaced.id = annotations.article_id
    AND replaced.content_revision > annotations.revision
    AND replaced.content_revision > 1
WHERE replaced.id IS NULL AND annotations.retracted_at IS NULL;
COMMENT ON VIEW present_annotations IS
    'Annotations of their article''s present text with today''s categories; is_split: one was split since'
""",
    # An annotation that a split one has superseded does not count again: the article waits for a new answer.
    "annotations_in_force": """
CREATE VIEW annotations_in_force AS
SELECT
    id, article_id, task_id, revision, categories, annotator, annotated_at, comment, is_resolution
FROM present_annotations AS own
WHERE NOT may_be_split OR NOT (is_split OR EXISTS (
    SELECT
    FROM present_annotations AS other
    WHERE other.article_id = own.article_id
      AND other.task_id = own.task_id
      AND other.is_split
      AND (other.annotator NOT LIKE 'source:%', other.id) > (own.annotator NOT LIKE 'source:%', own.id)
));
COMMENT ON VIEW annotations_in_force IS
    'Annotations that hold for their article''s present text, and were not retracted, with today''s categories'
""",
    # A person's annotation counts before a source's, and the newest before older ones.
    "shown_annotations": """
CREATE VIEW shown_annotations AS
SELECT DISTINCT ON (article_id, task_id)
    article_id, task_id, revision, categories, annotator, annotated_at, is_split
FROM present_annotations
ORDER BY article_id, task_id, annotator LIKE 'source:%', id DESC;
COMMENT ON VIEW shown_annotations IS
    'The first annotation of each article and task by rank: it counts, unless a category of it was split since'
""",
    "effective_annotations": """
CREATE VIEW effective_annotations AS
SELECT article_id, task_id, revision, categories, annotator, annotated_at
FROM shown_annotations
WHERE NOT is_split;
COMMENT ON VIEW effective_annotations IS
    'The annotation that counts for each article and task: a person''s before a source''s, then the newest'
""",
    # Only annotations with a category that was split are looked at closely.
    "annotations_before_split": """
CREATE VIEW annotations_before_split AS
SELECT
    candidates.article_id, candidates.task_id, shown.revision, shown.categories, shown.annotator, shown.annotated_at
FROM (
    SELECT DISTINCT article_id, task_id
    FROM annotations
    JOIN tasks ON tasks.id = annotations.task_id
    WHERE cardinality(split_names) > 0 AND categories && split_names AND retracted_at IS NULL
) AS candidates
CROSS JOIN LATERAL (
    SELECT revision, categories, annotator, annotated_at, is_split
    FROM shown_annotations
    WHERE shown_annotations.article_id = candidates.article_id AND shown_annotations.task_id = candidates.task_id
    OFFSET 0
) AS shown
WHERE shown.is_split;
COMMENT ON VIEW annotations_before_split IS
    'Of each article and task, the annotation that would count if a category of it had not been split since'
""",
    # A resolution supersedes what people annotated before it. Opinions with a split category stay: they may disagree.
    "annotation_opinions": """
CREATE VIEW annotation_opinions AS
SELECT DISTINCT ON (article_id, task_id, annotator) article_id, task_id, annotator, categories, comment, annotated_at
FROM (
    SELECT
        id, article_id, task_id, annotator, categories, comment, annotated_at,
        max(id) FILTER (WHERE is_resolution) OVER (PARTITION BY article_id, task_id) AS resolution
    FROM present_annotations
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
    FROM present_annotations
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
    coalesce(
        annotated.categories, CASE WHEN {_BACKS_OFF} THEN ARRAY[({_PARENT}).label] ELSE {_LABELS} END
    ) AS labels,
    CASE
        WHEN annotated.categories IS NOT NULL THEN NULL
        WHEN {_BACKS_OFF} THEN ARRAY[({_PARENT}).confidence]
        ELSE {_CONFIDENCES}
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
        ELSE {_SHOWN_CONFIDENCE} < coalesce(predicted.threshold, 0)
    END AS abstained,
    articles.title,
    articles.url
{_SOURCE};
COMMENT ON VIEW article_label_sets IS
    'The labels of each article and task: the annotation that counts, else the champion''s prediction; null: none yet'
""",
    # Positions and names are unnested in a select list, because a function in FROM takes several times as long. Nothing
    # else is in that subquery: Postgres keeps its results by all that they depend on.
    "article_labels": f"""
CREATE VIEW article_labels AS
SELECT
    articles.id AS article_id,
    articles.source,
    articles.external_id,
    tasks.name AS task,
    CASE
        WHEN each_label.name IS NOT NULL THEN each_label.name
        WHEN {_BACKS_OFF} THEN ({_PARENT}).label
        WHEN cardinality(tasks.former_names) = 0 THEN predicted.categories[each_label.position]
        WHEN tasks.kind = 'single' AND {_IS_MERGED} THEN ({_LABELS})[1]
        ELSE {_PRESENT_NAME}
    END AS label,
    CASE
        WHEN annotated.categories IS NOT NULL THEN 'annotation'
        WHEN predicted.model_id IS NOT NULL THEN 'prediction'
    END AS origin,
    CASE
        WHEN {_BACKS_OFF} AND each_label.position IS NOT NULL THEN ({_PARENT}).confidence
        WHEN cardinality(tasks.merged_names) = 0 OR NOT predicted.categories && tasks.merged_names
        THEN predicted.probabilities[each_label.position]
        WHEN each_label.position IS NULL THEN NULL
        WHEN tasks.kind = 'single' THEN {_CONFIDENCE}
        ELSE ({_CONFIDENCES})[array_position({_LABELS}, {_PRESENT_NAME})]
    END AS confidence,
    coalesce(annotated.annotated_at, predicted.predicted_at) AS labelled_at,
    CASE WHEN annotated.categories IS NULL THEN predicted.model END AS model,
    articles.split,
    articles.published_at,
    CASE
        WHEN annotated.categories IS NOT NULL THEN false
        ELSE {_SHOWN_CONFIDENCE} < coalesce(predicted.threshold, 0)
    END AS abstained,
    articles.title,
    articles.url
{_SOURCE}
LEFT JOIN LATERAL (
    SELECT
        unnest(annotated.categories) AS name,
        unnest(CASE WHEN annotated.categories IS NULL THEN predicted.category_indices END) AS position
) AS each_label ON true
WHERE cardinality(tasks.merged_names) = 0
   OR each_label.position IS NULL
   OR is_first_of_merged(
       each_label.position, predicted.category_indices, predicted.categories, tasks.former_names, tasks.present_names
   );
COMMENT ON VIEW article_labels IS
    'The labels of article_label_sets, one row each; without a label, origin is null for an article that waits'
""",
}
"""By name. A view comes after the views that it reads."""
