-- helper: a number from 0 to 1 that follows from another one
CREATE FUNCTION pg_temp.chance(number bigint, seed bigint) RETURNS double precision LANGUAGE sql IMMUTABLE
RETURN (hashint8extended(number, seed) & 1048575) / 1048576.0::double precision

-- helper: the article that one repeats
CREATE FUNCTION pg_temp.original(number bigint) RETURNS bigint LANGUAGE sql IMMUTABLE
RETURN CASE WHEN number % 50 = 1 AND number > 1 THEN number - 1 ELSE number END

-- helper: a category by its number
CREATE FUNCTION pg_temp.category(number bigint, categories bigint) RETURNS text LANGUAGE sql IMMUTABLE
RETURN 'category ' || lpad((number % categories)::text, 4, '0')

-- helper: a cluster by the fingerprint of its first text
CREATE FUNCTION pg_temp.cluster(fingerprint bytea) RETURNS bigint LANGUAGE sql IMMUTABLE
RETURN ('x' || encode(substr(fingerprint, 1, 8), 'hex'))::bit(64)::bigint

-- sequence
SELECT setval(pg_get_serial_sequence('articles', 'id'), :articles)

-- clusters
INSERT INTO clusters (id, split)
SELECT pg_temp.cluster(fingerprint), split FROM articles WHERE id = pg_temp.original(id) ORDER BY 1

-- splits
INSERT INTO splits (fingerprint, split, cluster_id)
SELECT articles.fingerprint, first.split, pg_temp.cluster(first.fingerprint)
FROM articles JOIN articles AS first ON first.id = pg_temp.original(articles.id)
ORDER BY 1

-- cluster_bridges: one text in a thousand is near those of a second cluster
INSERT INTO cluster_bridges (fingerprint, cluster_id)
SELECT articles.fingerprint, pg_temp.cluster(other.fingerprint)
FROM articles JOIN articles AS other ON other.id = articles.id - 3
WHERE articles.id % 1000 = 500

-- cluster_bands
INSERT INTO cluster_bands (band, cluster_id)
SELECT hashtextextended(id::text, band), id FROM clusters, generate_series(1, 16) AS band ORDER BY 1

-- annotations of sources: of what people have not annotated, and of a fifth of what they have
INSERT INTO annotations (article_id, task_id, revision, categories, annotator, annotated_at)
SELECT
    id, (SELECT id FROM tasks), 1, ARRAY[pg_temp.category(pg_temp.original(id), :categories)], 'source:' || :source, ingested_at
FROM articles
WHERE pg_temp.chance(id, 1) < :annotated / CAST(:articles AS double precision)
  AND (pg_temp.chance(id, 2) >= :by_people / CAST(:annotated AS double precision) OR pg_temp.chance(id, 3) < 0.2)
ORDER BY articles.id

-- annotations of people: one in twenty by a second person too, who says otherwise in one of five cases
INSERT INTO annotations (article_id, task_id, revision, categories, annotator, annotated_at)
SELECT
    id, (SELECT id FROM tasks), 1,
    ARRAY[pg_temp.category(pg_temp.original(id) + (person = 2 AND pg_temp.chance(id, 5) < 0.2)::integer, :categories)],
    'person ' || (id + person) % 20, ingested_at
FROM articles, generate_series(1, 2) AS person
WHERE pg_temp.chance(id, 1) < :annotated / CAST(:articles AS double precision)
  AND pg_temp.chance(id, 2) < :by_people / CAST(:annotated AS double precision)
  AND (person = 1 OR pg_temp.chance(id, 4) < 0.05)
ORDER BY person, articles.id

-- annotations that settle a third of the conflicts
INSERT INTO annotations (article_id, task_id, revision, categories, annotator, is_resolution)
SELECT article_id, min(task_id), 1, min(categories), 'person 0', true
FROM annotation_opinions
WHERE article_id % 3 = 0
GROUP BY article_id
HAVING min(categories) <> max(categories)

-- categories
INSERT INTO categories (task_id, name)
SELECT DISTINCT task_id, name FROM annotations CROSS JOIN unnest(categories) AS name

-- models: the last one is a candidate, the one before it the champion, those that labelled before are retired
INSERT INTO models (
    task_id, name, status, artefact, manifest_sha256, categories, training, created_at, promoted_at, threshold
)
SELECT
    (SELECT id FROM tasks),
    'm' || number,
    CASE
        WHEN number = :models THEN 'candidate'
        WHEN number = :models - 1 THEN 'champion'
        WHEN number >= :models - :labelled_by THEN 'retired'
        ELSE 'rejected'
    END,
    'none', 'none',
    ARRAY(SELECT pg_temp.category(one, :categories) FROM generate_series(0, :categories - 1) AS one),
    jsonb_build_object('data', jsonb_build_object('articles', :annotated, 'by_category', (
        SELECT jsonb_object_agg(pg_temp.category(one, :categories), one + 1)
        FROM generate_series(0, :categories - 1) AS one
    ))),
    now() - make_interval(days => :models - number),
    CASE WHEN number BETWEEN :models - :labelled_by AND :models - 1 THEN now() - make_interval(days => :models - number) END,
    0.6
FROM generate_series(1, :models) AS number
ORDER BY number

-- promotions
INSERT INTO promotions (model_id, previous_id, verdict, reason, decided_by, decided_at)
SELECT
    id, lag(id) OVER (PARTITION BY promoted_at IS NULL ORDER BY id),
    CASE WHEN promoted_at IS NULL THEN 'held' ELSE 'promoted' END, 'synthetic', 'benchmark', created_at
FROM models
WHERE status <> 'candidate'
ORDER BY id

-- predictions: each model labelled 19 of 20 articles, and erred in one of ten
INSERT INTO predictions (article_id, model_id, revision, category_indices, confidence, probabilities, predicted_at)
SELECT
    articles.id, models.id, 1, ARRAY[best::smallint], certainty,
    array_fill(other_probability, ARRAY[best - 1]) || certainty
        || array_fill(other_probability, ARRAY[:categories - best]),
    greatest(ingested_at, promoted_at)
FROM models
CROSS JOIN articles
CROSS JOIN LATERAL (
    SELECT
        (1 + (pg_temp.original(articles.id) + (pg_temp.chance(articles.id, 6 + models.id) < 0.1)::integer)
            % :categories)::integer AS best,
        (0.5 + 0.5 * pg_temp.chance(articles.id, 106 + models.id))::real AS certainty
) AS answered
CROSS JOIN LATERAL (SELECT ((1 - certainty) / :categories)::real AS other_probability) AS others
WHERE promoted_at IS NOT NULL AND pg_temp.chance(articles.id, 206 + models.id) < 0.95
ORDER BY articles.id, models.id

-- labelling_queue: what lacks the champion's label, a fifth of it as new
INSERT INTO labelling_queue (article_id, task_id, priority)
SELECT articles.id, task_id, (pg_temp.chance(articles.id, 7) > 0.2)::integer
FROM articles JOIN models ON models.status = 'champion'
WHERE pg_temp.chance(articles.id, 206 + models.id) >= 0.95
  AND NOT EXISTS (SELECT FROM annotations WHERE annotations.article_id = articles.id)
ORDER BY articles.id

-- dead_letters
INSERT INTO dead_letters (article_id, model_id, revision, reason)
SELECT articles.id, models.id, 1, 'synthetic'
FROM articles JOIN models ON models.status = 'champion'
WHERE pg_temp.chance(articles.id, 206 + models.id) >= 0.95 AND pg_temp.chance(articles.id, 8) < 0.1
ORDER BY articles.id

-- review_queue: of each champion, one label in a hundred was drawn at random, and one in five hundred chosen
INSERT INTO review_queue (article_id, model_id, revision, reason, predicted_categories, confidence, queued_at)
SELECT
    article_id, model_id, revision, CASE WHEN pg_temp.chance(article_id, 9) < 0.01 THEN 'audit' ELSE 'uncertain' END,
    ARRAY[categories[category_indices[1]]], confidence, predicted_at
FROM predictions
JOIN models ON models.id = model_id
WHERE pg_temp.chance(article_id, 9) < 0.012
ORDER BY article_id

-- evaluations: every model's
INSERT INTO evaluations (model_id, split, data_sha256, articles, accuracy, macro_f1, metrics)
SELECT id, 'test', 'synthetic', 100, 0.9, 0.9, '{}' FROM models ORDER BY id

-- evaluation_predictions: those of the models that labelled, and of the candidate
INSERT INTO evaluation_predictions (
    evaluation_id, article_id, text_hash, words, cluster_id, annotated_categories, baseline_categories, probabilities
)
SELECT
    evaluations.id, articles.id, text_hash, 112, cluster_id, annotated.categories, annotated.categories,
    array_fill((0.1 / :categories)::real, ARRAY[:categories - 1]) || 0.9::real
FROM evaluations
JOIN models ON models.id = model_id AND (promoted_at IS NOT NULL OR status = 'candidate')
CROSS JOIN articles
JOIN splits USING (fingerprint)
JOIN (SELECT article_id, min(categories) AS categories FROM annotations GROUP BY 1) AS annotated
    ON annotated.article_id = articles.id
WHERE articles.split = 'test'
ORDER BY 1, 2

-- ingest_runs: one an hour
INSERT INTO ingest_runs (source, kind, options, status, started_at, finished_at)
SELECT :source, 'files', '{}', 'succeeded', now() - make_interval(hours => 8760 - hour), now()
FROM generate_series(1, 8760) AS hour

-- source_state: a file an hour
INSERT INTO source_state (source, unit, config_sha256)
SELECT :source, '/inbox/' || hour || '.csv', '' FROM generate_series(1, 8760) AS hour

-- rejected_rows: one for every twenty articles
INSERT INTO rejected_rows (source, position, reason, "row", row_hash, run_id, unit)
SELECT
    :source, 'line ' || line, 'no text', '{"id": "' || line || '"}', sha256(line::text::bytea), 1 + line % 8760,
    '/inbox/' || 1 + line % 8760 || '.csv'
FROM generate_series(1, :articles / 20) AS line

-- training_runs: one a model
INSERT INTO training_runs (task_id, training_key, status, steps, epochs, step, model_id)
SELECT task_id, name, 'succeeded', 10000, 3, 10000, id FROM models ORDER BY id

-- training_metrics
INSERT INTO training_metrics (run_id, step, epoch, loss, seconds)
SELECT id, number, 1 + number / 3334, 1.0 / number, number
FROM training_runs, generate_series(20, 10000, 20) AS number

-- drift_runs: one a day
INSERT INTO drift_runs (model_id, ran_at, articles, audited, checks, alarms)
SELECT id, now() - make_interval(days => 365 - day), 5000, 500, '[]', '{}'
FROM models, generate_series(1, 365) AS day
WHERE status = 'champion'
