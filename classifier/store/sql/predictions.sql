-- delete_previous_predictions
-- Delete the model's previous predictions and dead letters on these articles: it labels an article again if the text
-- has changed.
WITH deleted_predictions AS (
    DELETE FROM predictions WHERE model_id = :model_id AND article_id = ANY(:ids)
)
DELETE FROM dead_letters WHERE model_id = :model_id AND article_id = ANY(:ids)

-- copy_predictions
COPY predictions (article_id, model_id, revision, category_indices, confidence, probabilities)
FROM STDIN WITH (FORMAT binary)

-- delete_predictions
-- Delete a model's predictions and dead letters on the articles from one id to another.
WITH deleted_predictions AS (
    DELETE FROM predictions WHERE model_id = :model_id AND article_id BETWEEN :first AND :last RETURNING 1
), deleted_letters AS (
    DELETE FROM dead_letters WHERE model_id = :model_id AND article_id BETWEEN :first AND :last
)
SELECT count(*) FROM deleted_predictions

-- labels_settled_until
-- Return the start of the oldest transaction that is open in this database. Another role's transactions may be hidden:
-- then they are assumed to take an hour at most.
SELECT least(
    now(),
    min(xact_start),
    CASE
        WHEN bool_or(NOT pg_has_role(usesysid, 'USAGE')) AND NOT pg_has_role('pg_read_all_stats', 'USAGE')
        THEN now() - interval '1 hour'
    END
)
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND coalesce(backend_type, 'client backend') = 'client backend'
