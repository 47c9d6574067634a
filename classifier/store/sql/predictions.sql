-- delete_previous_predictions
-- Delete the model's previous predictions and dead letters on these articles: it labels an article again if the text
-- has changed.
WITH deleted_predictions AS (
    DELETE FROM predictions WHERE model_id = :model_id AND article_id = ANY(:ids)
)
DELETE FROM dead_letters WHERE model_id = :model_id AND article_id = ANY(:ids)

-- copy_predictions
COPY predictions (article_id, model_id, revision, category, confidence, probabilities)
FROM STDIN WITH (FORMAT binary)

-- delete_predictions
-- Delete a model's predictions and dead letters on the articles from one id to another.
WITH deleted_predictions AS (
    DELETE FROM predictions WHERE model_id = :model_id AND article_id BETWEEN :first AND :last RETURNING 1
), deleted_letters AS (
    DELETE FROM dead_letters WHERE model_id = :model_id AND article_id BETWEEN :first AND :last
)
SELECT count(*) FROM deleted_predictions
