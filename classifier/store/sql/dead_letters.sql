-- retry_dead_letters
-- Delete dead letters and enqueue their articles, unless a person or the champion has labelled them since. OFFSET 0:
-- each article is looked up by the indexes.
WITH deleted AS (
    DELETE FROM dead_letters
    USING models
    WHERE models.id = dead_letters.model_id
      AND models.task_id = :task_id
      AND (CAST(:model AS text) IS NULL OR models.name = :model)
      AND (
        CAST(:source AS text) IS NULL
        OR (SELECT source FROM articles WHERE articles.id = dead_letters.article_id) = :source
      )
    RETURNING article_id
), enqueued AS (
    INSERT INTO labelling_queue (article_id, task_id, priority)
    SELECT DISTINCT article_id, CAST(:task_id AS bigint), 0
    FROM deleted
    WHERE NOT EXISTS (
        SELECT FROM annotations_in_force AS own
        WHERE own.article_id = deleted.article_id AND own.task_id = :task_id
        OFFSET 0
      )
      AND NOT EXISTS (
        SELECT FROM predictions
        WHERE predictions.article_id = deleted.article_id
          AND predictions.model_id = (SELECT id FROM models WHERE task_id = :task_id AND status = 'champion')
          AND predictions.revision = (SELECT revision FROM articles WHERE articles.id = deleted.article_id)
        OFFSET 0
      )
    ORDER BY article_id
    ON CONFLICT (article_id, task_id) DO NOTHING
    RETURNING article_id
)
SELECT (SELECT count(*) FROM deleted) AS letters, (SELECT count(*) FROM enqueued) AS enqueued
