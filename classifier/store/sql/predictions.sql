-- delete_previous_predictions
-- What the model said of these articles before: it labels an article again when its text has changed.
WITH former AS (
    DELETE FROM predictions WHERE model_id = :model_id AND article_id = ANY(:ids)
)
DELETE FROM dead_letters WHERE model_id = :model_id AND article_id = ANY(:ids)

-- copy_predictions
COPY predictions (article_id, model_id, revision, category, confidence, probabilities)
FROM STDIN WITH (FORMAT binary)

-- delete_predictions
-- Delete what a model said of the articles from one id to another.
WITH labelled AS (
    DELETE FROM predictions WHERE model_id = :model_id AND article_id BETWEEN :first AND :last RETURNING 1
), buried AS (
    DELETE FROM dead_letters WHERE model_id = :model_id AND article_id BETWEEN :first AND :last
)
SELECT count(*) FROM labelled
