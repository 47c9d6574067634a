-- evaluation_details_of_articles
-- Return what an evaluation stores of its articles besides their texts. Of a text in several clusters, the first
-- cluster counts.
SELECT articles.id, (
    SELECT min(cluster_id) FROM text_clusters WHERE text_clusters.fingerprint = articles.fingerprint
) AS cluster_id, articles.source, to_char(articles.published_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month
FROM articles
WHERE id = ANY(:ids)
ORDER BY id

-- evaluated_articles
-- Return an evaluation's articles, by id. OFFSET 0: each article is looked up by the index.
SELECT
    article_id, evaluation_predictions.text_hash, words, cluster_id, annotated_categories, baseline_categories, article.source,
    coalesce(to_char(article.published_at AT TIME ZONE 'UTC', 'YYYY-MM'), '') AS month
FROM evaluation_predictions
CROSS JOIN LATERAL (SELECT source, published_at FROM articles WHERE id = article_id OFFSET 0) AS article
WHERE evaluation_id = :evaluation_id
ORDER BY article_id

-- evaluated_probabilities
-- Return the predicted probabilities, by article id. array_send: as bytes they take an eighth of the memory of a list
-- of Python numbers.
SELECT array_send(probabilities) AS probabilities
FROM evaluation_predictions
WHERE evaluation_id = :evaluation_id
ORDER BY article_id

-- insert_evaluation_predictions
-- Insert predictions from arrays with one entry an article; one array has the probabilities of all articles, row by
-- row.
INSERT INTO evaluation_predictions (
    evaluation_id, article_id, text_hash, words, cluster_id, annotated_categories, baseline_categories, gflops, probabilities
)
SELECT
    :evaluation_id, article_id, text_hash, words, cluster_id,
    ARRAY(SELECT jsonb_array_elements_text(annotated)), ARRAY(SELECT jsonb_array_elements_text(baseline)), gflops,
    (CAST(:probabilities AS real[]))[(ordinal - 1) * :width + 1:ordinal * :width]
FROM unnest(
    CAST(:ids AS bigint[]), CAST(:hashes AS bytea[]), CAST(:words AS integer[]), CAST(:clusters AS bigint[]),
    CAST(:categories AS jsonb[]), CAST(:baselines AS jsonb[]), CAST(:gflops AS double precision[])
) WITH ORDINALITY AS input_rows (article_id, text_hash, words, cluster_id, annotated, baseline, gflops, ordinal)

-- stored_outputs
-- Return a model's stored outputs for these texts, computed by the same engine: those of unfinished evaluations and
-- those of the newest evaluation. For the latter, an output's seconds are the mean of the evaluation.
SELECT text_hash, gflops, seconds, array_send(probabilities) AS probabilities
FROM evaluation_progress
WHERE model_id = :model_id AND engine = :engine AND text_hash = ANY(CAST(:hashes AS bytea[]))
UNION ALL
SELECT
    text_hash, gflops, coalesce(1 / nullif(CAST(newest.metrics ->> 'articles_per_second' AS double precision), 0), 0),
    array_send(probabilities)
FROM (
    SELECT id, metrics FROM evaluations
    WHERE model_id = :model_id AND metrics ->> 'computed_by' = :engine
    ORDER BY id DESC
    LIMIT 1
) AS newest
JOIN evaluation_predictions ON evaluation_id = newest.id
WHERE article_id = ANY(CAST(:ids AS bigint[])) AND text_hash = ANY(CAST(:hashes AS bytea[])) AND gflops IS NOT NULL

-- insert_partial_outputs
-- Insert outputs from arrays with one entry a text; one array has the probabilities of all texts, row by row. If two
-- evaluations run at once, the outputs of the first stay: the other's are the same.
INSERT INTO evaluation_progress (model_id, engine, text_hash, gflops, seconds, probabilities)
SELECT
    :model_id, :engine, text_hash, gflops, :seconds,
    (CAST(:probabilities AS real[]))[(ordinal - 1) * :width + 1:ordinal * :width]
FROM unnest(CAST(:hashes AS bytea[]), CAST(:gflops AS double precision[]))
    WITH ORDINALITY AS input_rows (text_hash, gflops, ordinal)
ORDER BY text_hash
ON CONFLICT DO NOTHING

-- delete_partial_outputs
-- Delete the outputs of a model whose evaluation is stored now, and abandoned outputs.
DELETE FROM evaluation_progress
WHERE model_id = :model_id OR computed_at < now() - make_interval(days => :days)
