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
    SELECT true AS found FROM annotations_in_force WHERE article_id = sample.id LIMIT 1
) AS annotated ON true
LEFT JOIN LATERAL (
    SELECT true AS found
    FROM predictions
    WHERE predictions.article_id = sample.id
      AND predictions.model_id = (SELECT id FROM models WHERE status = 'champion')
      AND predictions.revision = sample.revision
    LIMIT 1
) AS predicted ON true
GROUP BY 1, 2

-- prediction_counts_by_day
-- Count the predictions written on each day (UTC), in a share of the table's blocks.
SELECT CAST(predicted_at AT TIME ZONE 'UTC' AS date) AS day, count(*) AS predictions
FROM predictions TABLESAMPLE SYSTEM (:percent)
WHERE predicted_at >= :since
GROUP BY 1
ORDER BY 1

-- label_counts_by_category
-- Count the articles by the label that article_labels shows: the annotation that counts, else the champion's prediction
-- on the present text. Only a share of the table's blocks is read. The null category counts articles without a label.
WITH sample AS MATERIALIZED (
    SELECT id, revision FROM articles TABLESAMPLE SYSTEM (:percent)
)
SELECT
    coalesce(annotated.category, predicted.category) AS category,
    count(annotated.category) AS annotated,
    count(*) AS articles
FROM sample
LEFT JOIN LATERAL (
    SELECT category FROM effective_annotations WHERE article_id = sample.id OFFSET 0
) AS annotated ON true
LEFT JOIN LATERAL (
    SELECT category
    FROM predictions
    WHERE predictions.article_id = sample.id
      AND predictions.model_id = (SELECT id FROM models WHERE status = 'champion')
      AND predictions.revision = sample.revision
    LIMIT 1
) AS predicted ON true
GROUP BY 1
