-- newest_labelled
-- Of the articles that came last, by id, those that the model has labelled as they are. By id and not by when they
-- were labelled, so that what a backfill labels does not pass for what comes. However few of them there are, no more
-- than :looked_at articles are read; OFFSET 0: each is looked up by the index.
WITH newest AS MATERIALIZED (
    SELECT id, revision, ingested_at FROM articles ORDER BY id DESC LIMIT :looked_at
), labelled AS MATERIALIZED (
    SELECT id, ingested_at, category, confidence
    FROM newest
    CROSS JOIN LATERAL (
        SELECT category, confidence FROM predictions
        WHERE article_id = id AND model_id = :model_id AND predictions.revision = newest.revision
        OFFSET 0
    ) AS predicted
    WHERE ingested_at >= :since
    ORDER BY id DESC
    LIMIT :size
)
SELECT category, confidence, labelled.ingested_at, articles.text
FROM labelled
JOIN articles USING (id)

-- alarm_since
-- When a check's alarm began: the first of a model's last runs that all gave it. Null where the last one did not.
SELECT min(ran_at)
FROM drift_runs
WHERE model_id = :model_id
  AND id > coalesce(
    (SELECT max(id) FROM drift_runs WHERE model_id = :model_id AND NOT CAST(:name AS text) = ANY(alarms)), 0
  )
