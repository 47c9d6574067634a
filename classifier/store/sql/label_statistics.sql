-- estimated_rows
-- Return Postgres' estimate of a table's rows; 0 or -1 if the table was never analysed.
SELECT reltuples FROM pg_class WHERE oid = CAST(:table AS regclass)

-- label_counts_by_origin
-- Count the articles of each split by the origin of their label, in a share of the table's blocks.
WITH sample AS MATERIALIZED (
    SELECT id, revision, split FROM articles TABLESAMPLE SYSTEM (:percent)
)
SELECT
    split,
    CASE WHEN annotated.found THEN 'annotation' WHEN predicted.found THEN 'prediction' ELSE 'none' END AS origin,
    count(*) AS articles
FROM sample
LEFT JOIN LATERAL (
    SELECT true AS found FROM annotations_in_force WHERE article_id = sample.id AND task_id = :task_id LIMIT 1
) AS annotated ON true
LEFT JOIN LATERAL (
    SELECT true AS found
    FROM predictions
    WHERE predictions.article_id = sample.id
      AND predictions.model_id = (SELECT id FROM models WHERE task_id = :task_id AND status = 'champion')
      AND predictions.revision = sample.revision
    LIMIT 1
) AS predicted ON true
GROUP BY 1, 2

-- prediction_counts_by_day
-- Count the predictions written on each day (UTC), in a share of the table's blocks.
SELECT CAST(predicted_at AT TIME ZONE 'UTC' AS date) AS day, count(*) AS predictions
FROM predictions TABLESAMPLE SYSTEM (:percent)
WHERE predicted_at >= :since AND model_id = ANY(ARRAY(SELECT id FROM models WHERE task_id = :task_id))
GROUP BY 1
ORDER BY 1

-- label_counts_by_category
-- Count the articles by the labels that article_labels shows: the annotation, else the champion's prediction on the
-- present text; if the champion backs off, by its own category. An annotation whose category was split is shown until a
-- champion that knows the parts has labelled the article. Only a share of the table's blocks is read. The null category
-- counts articles that wait for a label, and the empty one articles that have none of the categories. Each article has
-- one first label.
WITH sample AS MATERIALIZED (
    SELECT id, revision FROM articles TABLESAMPLE SYSTEM (:percent)
)
SELECT
    CASE WHEN cardinality(coalesce(annotated.categories, predicted.categories)) = 0 THEN '' ELSE category END AS category,
    count(annotated.categories) AS annotated,
    count(*) AS articles,
    count(*) FILTER (WHERE coalesce(ordinal, 1) = 1) AS first_labels
FROM sample
LEFT JOIN LATERAL (
    SELECT labels AS categories
    FROM predicted_labels
    WHERE predicted_labels.article_id = sample.id
      AND predicted_labels.model_id = (SELECT id FROM models WHERE task_id = :task_id AND status = 'champion')
      AND predicted_labels.revision = sample.revision
    LIMIT 1
) AS predicted ON true
LEFT JOIN LATERAL (
    SELECT shown.categories
    FROM shown_annotations AS shown
    JOIN tasks ON tasks.id = shown.task_id
    LEFT JOIN models ON models.task_id = :task_id AND models.status = 'champion' AND predicted.categories IS NOT NULL
    WHERE shown.article_id = sample.id
      AND shown.task_id = :task_id
      AND (NOT is_split OR models.id IS NULL OR knows_split(
          shown.categories, models.categories, tasks.split_names, tasks.former_names, tasks.present_names
      ))
    OFFSET 0
) AS annotated ON true
LEFT JOIN LATERAL unnest(coalesce(annotated.categories, predicted.categories)) WITH ORDINALITY AS each_label (category, ordinal)
    ON true
GROUP BY 1
