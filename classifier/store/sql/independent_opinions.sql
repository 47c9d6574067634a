-- independent_opinions
-- Return each person's first annotation of an article's present text, before any resolution, of the articles that
-- several people annotated. OFFSET 0: each article's annotations are looked up by the index.
WITH several AS MATERIALIZED (
    SELECT article_id
    FROM annotations
    WHERE task_id = :task_id AND annotator NOT LIKE 'source:%' AND retracted_at IS NULL
    GROUP BY article_id
    HAVING min(annotator) <> max(annotator)
)
SELECT several.article_id, annotator, categories, annotated_at
FROM several
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (annotator) annotator, categories, annotated_at
    FROM (
        SELECT id, annotator, categories, annotated_at, min(id) FILTER (WHERE is_resolution) OVER () AS resolution
        FROM annotations_in_force
        WHERE annotations_in_force.article_id = several.article_id
          AND annotations_in_force.task_id = :task_id
          AND annotator NOT LIKE 'source:%'
        OFFSET 0
    ) AS by_people
    WHERE resolution IS NULL OR id < resolution
    ORDER BY annotator, id
) AS first_opinions
ORDER BY several.article_id, annotator

-- second_opinions
-- Return the articles that any model of the task has queued since some days, with unchanged text, and that at least one
-- person, but fewer than :people, have annotated without a resolution; with those people. The prediction is the newest.
-- With :article_id, of this article only.
WITH queued AS MATERIALIZED (
    SELECT article_id, revision, array_agg(DISTINCT reason ORDER BY reason) AS reasons, min(queued_at) AS queued_at
    FROM review_queue
    WHERE model_id IN (SELECT id FROM models WHERE task_id = :task_id)
      AND queued_at >= now() - make_interval(days => :days)
      AND (CAST(:article_id AS bigint) IS NULL OR article_id = :article_id)
    GROUP BY article_id, revision
)
SELECT
    queued.article_id, queued.revision, queued.reasons, newest.predicted_categories, newest.confidence,
    answered.annotators
FROM queued
CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT annotator) AS annotators
    FROM annotations_in_force AS own
    WHERE own.article_id = queued.article_id AND own.task_id = :task_id AND annotator NOT LIKE 'source:%'
    HAVING count(DISTINCT annotator) BETWEEN 1 AND :people - 1 AND NOT bool_or(is_resolution)
    OFFSET 0
) AS answered
CROSS JOIN LATERAL (
    SELECT present_categories(predicted_categories, former_names, present_names) AS predicted_categories, confidence
    FROM review_queue
    JOIN tasks ON tasks.id = :task_id
    WHERE review_queue.article_id = queued.article_id
      AND review_queue.revision = queued.revision
      AND model_id IN (SELECT id FROM models WHERE task_id = :task_id)
    ORDER BY review_queue.queued_at DESC, model_id DESC
    LIMIT 1
) AS newest
WHERE queued.revision = (SELECT revision FROM articles WHERE id = queued.article_id)
ORDER BY queued.queued_at, queued.article_id
