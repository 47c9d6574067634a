-- newest_labelled
-- Return the newest articles, by id, that the model has labelled with their present text. They are ordered by id, not
-- by time of labelling, so that a backfill does not look like new articles. At most :examined articles are read. OFFSET
-- 0: each article is looked up by the index.
WITH newest AS MATERIALIZED (
    SELECT id, revision, ingested_at FROM articles ORDER BY id DESC LIMIT :examined
), labelled AS MATERIALIZED (
    SELECT id, ingested_at, labels, confidence
    FROM newest
    CROSS JOIN LATERAL (
        SELECT labels, confidence FROM predicted_labels
        WHERE article_id = id AND model_id = :model_id AND predicted_labels.revision = newest.revision
        OFFSET 0
    ) AS predicted
    WHERE ingested_at >= :since
    ORDER BY id DESC
    LIMIT :size
)
SELECT labels, confidence, labelled.ingested_at, articles.text
FROM labelled
JOIN articles USING (id)

-- alarm_since
-- Return when a check's alarm began: the first of the model's last runs that all raised it. Null if the last run did
-- not.
SELECT min(ran_at)
FROM drift_runs
WHERE model_id = :model_id
  AND id > coalesce(
    (SELECT max(id) FROM drift_runs WHERE model_id = :model_id AND NOT CAST(:name AS text) = ANY(alarms)), 0
  )
