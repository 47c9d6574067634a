-- open_page
-- Begin a page: a later champion's backlog can tell that a page of this model is open, and the server does
-- not end the transaction because it idles while the page is in the model.
SELECT
    pg_advisory_xact_lock_shared(:pages, :model_id),
    set_config('idle_in_transaction_session_timeout', '0', true)

-- claim_page
-- Take a page of the queue for the rest of this transaction and return its articles' ids. The rows are
-- deleted at once: a worker that dies rolls back, and they are free again. Rows that another worker
-- holds are skipped. ARRAY: the locking SELECT runs once, and what it found is looked up by the index; from a
-- join, the planner makes a scan of the whole queue.
-- The size of a long text is read without the text.
DELETE FROM labelling_queue
WHERE article_id = ANY(ARRAY(
    SELECT article_id
    FROM labelling_queue
    WHERE priority BETWEEN :first AND :last
    ORDER BY priority, article_id
    LIMIT :size
    FOR UPDATE SKIP LOCKED
))
RETURNING priority, article_id, (SELECT octet_length(text) FROM articles WHERE id = article_id) AS bytes

-- claim_selected_page
-- The same for some of the articles. What was passed over is not looked at again for each page: a run goes
-- on after the last row that it claimed.
DELETE FROM labelling_queue
WHERE article_id = ANY(ARRAY(
    SELECT article_id
    FROM labelling_queue
    JOIN articles ON articles.id = article_id
    WHERE priority BETWEEN :first AND :last
      AND (priority, article_id) > (:after_priority, :after_id)
      AND (CAST(:source AS text) IS NULL OR source = :source)
      AND (CAST(:since AS timestamptz) IS NULL OR coalesce(published_at, ingested_at) >= :since)
    ORDER BY priority, article_id
    LIMIT :size
    FOR UPDATE OF labelling_queue SKIP LOCKED
))
RETURNING priority, article_id, (SELECT octet_length(text) FROM articles WHERE id = article_id) AS bytes

-- claimed_articles
-- Read the claimed articles, in a statement of its own: its snapshot is newer than the locks on the
-- queue. Read by the claim itself, a text could be one that was changed, and enqueued again, after the
-- claim's snapshot and before its lock; the new text would then never get its label.
SELECT id, revision, text FROM articles WHERE id = ANY(:ids) ORDER BY id

-- take_backlog
-- Take the champion's backlog for this transaction: nobody else enqueues it or becomes champion. No row where
-- somebody else does so right now, or where all of it is enqueued.
SELECT backfilled_to
FROM models
WHERE id = :model_id AND status = 'champion' AND backfilled_to IS NOT NULL
FOR NO KEY UPDATE SKIP LOCKED

-- no_page_of_others
-- Say whether no page of another model is open, and keep it so: with a page of a former champion, what
-- looks claimed would have to be enqueued again, and what looks free could be.
SELECT coalesce(bool_and(pg_try_advisory_xact_lock(:pages, CAST(id AS integer))), true)
FROM models
WHERE id <> :model_id

-- enqueue_backlog
-- Enqueue what the model lacks in the next stretch of articles, by id. Returns the last id looked at, null
-- when there is none left, and how many were enqueued. What is in the queue by this snapshot waits, or is
-- in a page of this very model, which takes it off the queue and labels it in one commit. OFFSET 0: each
-- article is looked up by the indexes; as joins, the planner may read the whole history.
WITH stretch AS MATERIALIZED (
    SELECT id, revision FROM articles WHERE id > :after ORDER BY id LIMIT :size
), missing AS (
    INSERT INTO labelling_queue (article_id, priority)
    SELECT id, 1
    FROM stretch
    WHERE NOT EXISTS (SELECT FROM labelling_queue WHERE article_id = id OFFSET 0)
      AND NOT EXISTS (SELECT FROM annotations_in_force WHERE article_id = stretch.id OFFSET 0)
      AND NOT EXISTS (
        SELECT FROM predictions
        WHERE article_id = id AND model_id = :model_id AND predictions.revision = stretch.revision
        OFFSET 0
      )
      AND NOT EXISTS (
        SELECT FROM dead_letters
        WHERE article_id = id AND model_id = :model_id AND dead_letters.revision = stretch.revision
        OFFSET 0
      )
    ORDER BY id
    ON CONFLICT (article_id) DO NOTHING
    RETURNING article_id
)
SELECT (SELECT max(id) FROM stretch) AS last, (SELECT count(*) FROM missing) AS enqueued

-- retry_dead_letters
-- Forget dead letters and put their articles back into the queue, unless a human or the champion has
-- labelled them meanwhile. OFFSET 0: each article is looked up by the indexes.
WITH tried AS (
    DELETE FROM dead_letters
    USING models
    WHERE models.id = dead_letters.model_id
      AND (CAST(:model AS text) IS NULL OR models.name = :model)
      AND (
        CAST(:source AS text) IS NULL
        OR (SELECT source FROM articles WHERE articles.id = dead_letters.article_id) = :source
      )
    RETURNING article_id
), enqueued AS (
    INSERT INTO labelling_queue (article_id, priority)
    SELECT DISTINCT article_id, 0
    FROM tried
    WHERE NOT EXISTS (SELECT FROM annotations_in_force AS own WHERE own.article_id = tried.article_id OFFSET 0)
      AND NOT EXISTS (
        SELECT FROM predictions
        WHERE predictions.article_id = tried.article_id
          AND predictions.model_id = (SELECT id FROM models WHERE status = 'champion')
          AND predictions.revision = (SELECT revision FROM articles WHERE articles.id = tried.article_id)
        OFFSET 0
      )
    ORDER BY article_id
    ON CONFLICT (article_id) DO NOTHING
    RETURNING article_id
)
SELECT (SELECT count(*) FROM tried) AS letters, (SELECT count(*) FROM enqueued) AS enqueued

-- labelling_rate
-- How many of the newest predictions came how many seconds after the first page of them. A page has one
-- time, when it was written.
WITH newest AS (
    SELECT predicted_at
    FROM predictions
    WHERE predicted_at > now() - make_interval(mins => :minutes)
    ORDER BY predicted_at DESC
    LIMIT :most
), span AS (
    SELECT min(predicted_at) AS began, max(predicted_at) AS ended FROM newest
)
SELECT count(*) AS labelled, coalesce(extract(epoch FROM max(ended) - max(began)), 0) AS seconds
FROM newest, span
WHERE predicted_at > began

-- backlog_ahead
-- How many articles the champion's backlog has not looked at yet, about: by ids, as if none were missing.
SELECT greatest(0, coalesce((SELECT max(id) FROM articles), 0) - models.backfilled_to) AS articles
FROM models
WHERE status = 'champion' AND backfilled_to IS NOT NULL

-- estimated_rows
-- About how many rows a table has; 0 or -1 where Postgres has not looked yet.
SELECT reltuples FROM pg_class WHERE oid = CAST(:table AS regclass)

-- count_articles
-- Count the articles of each split by where their label comes from, in a share of the table's blocks.
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

-- labels_by_day
-- How many labels were written on each day (UTC), in a share of the table's blocks.
SELECT CAST(predicted_at AT TIME ZONE 'UTC' AS date) AS day, count(*) AS labels
FROM predictions TABLESAMPLE SYSTEM (:percent)
WHERE predicted_at >= :since
GROUP BY 1
ORDER BY 1

-- labels_by_category
-- What readers see: each article's annotation that counts, else the champion's prediction for its present text, by
-- category; in a share of the table's blocks. A null category counts the articles without a label.
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

-- decided_texts
-- Which of the texts have a split. OFFSET 0, here and below: each is looked up by an index, however many are asked for.
SELECT given.fingerprint
FROM unnest(CAST(:fingerprints AS bytea[])) AS given (fingerprint)
WHERE EXISTS (SELECT FROM splits WHERE splits.fingerprint = given.fingerprint OFFSET 0)

-- placed_articles
-- Which of the rows are there as articles, and in which split: a new text of an old article stays in it.
SELECT staged.source, staged.external_id, present.split
FROM unnest(CAST(:sources AS text[]), CAST(:external_ids AS text[])) AS staged (source, external_id)
CROSS JOIN LATERAL (
    SELECT split FROM articles
    WHERE articles.source = staged.source AND articles.external_id = staged.external_id
    OFFSET 0
) AS present

-- known_bands
-- Which of the bands are there, and whose they are.
SELECT given.band, present.cluster_id
FROM unnest(CAST(:bands AS bigint[])) AS given (band)
CROSS JOIN LATERAL (SELECT cluster_id FROM cluster_bands WHERE cluster_bands.band = given.band OFFSET 0) AS present

-- cluster_splits
-- The splits of clusters.
SELECT given.id, present.split
FROM unnest(CAST(:ids AS bigint[])) AS given (id)
CROSS JOIN LATERAL (SELECT split FROM clusters WHERE clusters.id = given.id OFFSET 0) AS present

-- texts_of_clusters
-- All texts of clusters, those of deleted or changed articles among them.
SELECT cluster_id, fingerprint FROM text_clusters WHERE cluster_id = ANY(CAST(:ids AS bigint[]))

-- unchanged_fingerprints
-- The fingerprints of articles whose texts still are what they were.
SELECT articles.fingerprint
FROM unnest(CAST(:ids AS bigint[]), CAST(:hashes AS bytea[])) AS given (id, text_hash)
JOIN articles USING (id, text_hash)

-- insert_clusters
-- The id comes from a fingerprint. Where two share one, their clusters are one.
INSERT INTO clusters (id, split)
SELECT id, split FROM unnest(CAST(:ids AS bigint[]), CAST(:splits AS text[])) AS founded (id, split)
ON CONFLICT (id) DO NOTHING

-- insert_splits
-- Nobody else decides splits meanwhile, so there can be no conflict.
INSERT INTO splits (fingerprint, split, cluster_id)
SELECT fingerprint, split, cluster_id
FROM unnest(CAST(:fingerprints AS bytea[]), CAST(:splits AS text[]), CAST(:cluster_ids AS bigint[]))
    AS decided (fingerprint, split, cluster_id)
ORDER BY fingerprint

-- insert_bridges
-- The further clusters of texts that touch several.
INSERT INTO bridges (fingerprint, cluster_id)
SELECT fingerprint, cluster_id
FROM unnest(CAST(:fingerprints AS bytea[]), CAST(:cluster_ids AS bigint[])) AS found (fingerprint, cluster_id)

-- copy_bands
COPY cluster_bands (band, cluster_id) FROM STDIN WITH (FORMAT binary)

-- undecide_unclustered
-- Take up to so many texts whose split was decided before there were clusters, to place them again. Their
-- articles keep their splits.
WITH taken AS (
    DELETE FROM splits
    WHERE fingerprint IN (SELECT fingerprint FROM splits WHERE cluster_id IS NULL ORDER BY fingerprint LIMIT :size)
    RETURNING fingerprint, split
)
SELECT DISTINCT ON (taken.fingerprint) taken.fingerprint, taken.split, articles.text
FROM taken
LEFT JOIN articles USING (fingerprint)
ORDER BY taken.fingerprint, articles.id

-- mark_superseded
-- Mark the staged rows of a step that a later row of the same article supersedes: the last row of a file wins. OFFSET 0,
-- here and in the steps below: each row is looked up by an index, whatever the planner guesses of tables that it has
-- no statistics of.
UPDATE staged_articles
SET superseded = true
WHERE position BETWEEN :first AND :last
  AND EXISTS (
    SELECT FROM staged_articles AS later
    WHERE later.source = staged_articles.source
      AND later.external_id = staged_articles.external_id
      AND later.position > staged_articles.position
    OFFSET 0
  )

-- merge_staged_articles
-- Upsert a step of the staged articles by (source, external_id). An article keeps its split for ever. What is new or
-- has another text is noted in staged_changes. Annotations stay in force over a change of case or white space, and over
-- one that staged_small_changes has for this very text.
WITH merged AS (
    INSERT INTO articles (source, external_id, text, text_hash, fingerprint, split, published_at)
    SELECT
        source, external_id, text, text_hash, fingerprint,
        coalesce(
            own_split, (SELECT split FROM splits WHERE splits.fingerprint = staged_articles.fingerprint OFFSET 0)
        ),
        published_at
    FROM staged_articles
    WHERE position BETWEEN :first AND :last AND NOT superseded
    ON CONFLICT (source, external_id) DO UPDATE
    SET text = excluded.text,
        text_hash = excluded.text_hash,
        fingerprint = excluded.fingerprint,
        published_at = coalesce(excluded.published_at, articles.published_at),
        revision = articles.revision + 1,
        content_revision = CASE
            WHEN articles.fingerprint = excluded.fingerprint THEN articles.content_revision
            ELSE coalesce(
                (
                    SELECT articles.content_revision FROM staged_small_changes AS small
                    WHERE small.article_id = articles.id
                      AND small.revision = articles.revision
                      AND small.fingerprint = excluded.fingerprint
                ),
                articles.revision + 1
            )
        END,
        content_sketch = CASE
            WHEN articles.fingerprint = excluded.fingerprint THEN articles.content_sketch
            ELSE (
                SELECT sketch FROM staged_small_changes AS small
                WHERE small.article_id = articles.id
                  AND small.revision = articles.revision
                  AND small.fingerprint = excluded.fingerprint
            )
        END,
        changed_at = now()
    WHERE articles.text_hash <> excluded.text_hash
    RETURNING id, revision
)
INSERT INTO staged_changes (article_id, revision)
SELECT id, revision FROM merged

-- annotate_staged_articles
-- Keep a file's own categories, those of a step, as annotations, unless the source's last one in force says the same.
-- The last row that has a category and the text that is kept wins. A person's annotation goes before it, whichever is
-- newer.
INSERT INTO annotations (article_id, revision, category, annotator)
SELECT staged.id, staged.revision, staged.category, 'source:' || staged.source
FROM (
    SELECT article.id, article.revision, staged_articles.source, staged_articles.category
    FROM staged_articles
    CROSS JOIN LATERAL (
        SELECT id, revision, fingerprint FROM articles
        WHERE articles.source = staged_articles.source AND articles.external_id = staged_articles.external_id
        OFFSET 0
    ) AS article
    WHERE staged_articles.position BETWEEN :first AND :last
      AND staged_articles.category IS NOT NULL
      AND article.fingerprint = staged_articles.fingerprint
      AND NOT (superseded AND EXISTS (
        SELECT FROM staged_articles AS later
        WHERE later.source = staged_articles.source
          AND later.external_id = staged_articles.external_id
          AND later.position > staged_articles.position
          AND later.category IS NOT NULL
          AND later.fingerprint = staged_articles.fingerprint
        OFFSET 0
      ))
) AS staged
WHERE staged.category IS DISTINCT FROM (
    SELECT category FROM annotations_in_force AS former
    WHERE former.article_id = staged.id AND former.annotator = 'source:' || staged.source
    ORDER BY former.id DESC LIMIT 1
)
ORDER BY staged.id

-- enqueue_staged_articles
-- A new or changed article of a step waits for a label, unless an annotation of it is in force. DO UPDATE, not DO
-- NOTHING: it locks a row that is already waiting, so no labeller takes it with the text as it was before.
INSERT INTO labelling_queue (article_id, priority)
SELECT staged_changes.article_id, 0
FROM staged_changes
WHERE position BETWEEN :first AND :last
  AND NOT EXISTS (SELECT FROM annotations_in_force AS own WHERE own.article_id = staged_changes.article_id OFFSET 0)
ORDER BY staged_changes.article_id
ON CONFLICT (article_id) DO UPDATE SET priority = 0, enqueued_at = now()

-- dequeue_annotated
-- An article of a step that a human has just annotated needs no label of ours.
DELETE FROM labelling_queue
WHERE article_id = ANY(ARRAY(
    SELECT article.id
    FROM staged_articles
    CROSS JOIN LATERAL (
        SELECT id, fingerprint FROM articles
        WHERE articles.source = staged_articles.source AND articles.external_id = staged_articles.external_id
        OFFSET 0
    ) AS article
    WHERE staged_articles.position BETWEEN :first AND :last
      AND staged_articles.category IS NOT NULL
      AND article.fingerprint = staged_articles.fingerprint
))

-- annotated_articles
-- The articles of a split with the annotation that counts. What people disagree on is left out. So is an article that
-- repeats, or nearly repeats, one of a split that is kept from this one: what is tested on is never trained on, even
-- where a source brought its own splits with repeats across them. By fingerprint also, for articles that were there
-- before there were clusters. Set operations and OFFSET 0: sets are hashed or sorted, and rows are looked up by indexes.
-- As an anti-join with a list, the planner may read the list once for each article, which takes hours.
WITH kept AS MATERIALIZED (
    SELECT cluster_id
    FROM annotations
    JOIN articles ON articles.id = article_id
    JOIN text_clusters USING (fingerprint)
    WHERE split = :split
    INTERSECT
    (
        SELECT id FROM clusters WHERE split = ANY(:kept_from)
        UNION
        SELECT cluster_id FROM articles JOIN text_clusters USING (fingerprint) WHERE split = ANY(:kept_from)
    )
), chosen AS MATERIALIZED (
    SELECT articles.id FROM annotations_in_force JOIN articles ON articles.id = article_id WHERE split = :split
    EXCEPT
    SELECT article_id FROM annotation_conflicts
    EXCEPT
    SELECT same.id
    FROM articles AS held
    JOIN articles AS same USING (fingerprint)
    WHERE held.split = ANY(:kept_from) AND same.split = :split
    EXCEPT
    SELECT twin.id
    FROM kept
    CROSS JOIN LATERAL (SELECT fingerprint FROM text_clusters WHERE cluster_id = kept.cluster_id OFFSET 0) AS near
    CROSS JOIN LATERAL (
        SELECT id FROM articles WHERE articles.fingerprint = near.fingerprint AND split = :split OFFSET 0
    ) AS twin
)
SELECT articles.id, articles.text, articles.text_hash, annotated.category
FROM chosen
JOIN articles ON articles.id = chosen.id
CROSS JOIN LATERAL (
    SELECT category FROM effective_annotations WHERE article_id = chosen.id OFFSET 0
) AS annotated
ORDER BY articles.id

-- clusters_of_articles
-- The clusters of near-duplicates that these articles' texts belong to: a text may be in several, and one of before
-- there were clusters is in none. OFFSET 0: each is looked up by the indexes.
SELECT articles.id, articles.fingerprint, own.cluster_id
FROM articles
LEFT JOIN LATERAL (
    SELECT cluster_id FROM text_clusters WHERE text_clusters.fingerprint = articles.fingerprint OFFSET 0
) AS own ON true
WHERE articles.id = ANY(CAST(:ids AS bigint[]))

-- sizes_by_category
-- How many articles each split has of each category, by the annotation that counts; null: not annotated.
SELECT annotated.category, articles.split, count(*)
FROM articles
LEFT JOIN effective_annotations AS annotated ON annotated.article_id = articles.id
GROUP BY annotated.category, articles.split

-- delete_previous
-- What the model said of these articles before: it labels an article again when its text has changed.
WITH former AS (
    DELETE FROM predictions WHERE model_id = :model_id AND article_id = ANY(:ids)
)
DELETE FROM dead_letters WHERE model_id = :model_id AND article_id = ANY(:ids)

-- stage_articles
-- Temporary tables of one ingest: what the source brings, its texts that have no split yet, what it changes, and what
-- was rejected. Each is worked through by position, in steps. EXTERNAL: compressing the texts would take longer than
-- all else that COPY does.
CREATE TEMPORARY TABLE staged_articles (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    external_id text NOT NULL,
    text text STORAGE EXTERNAL NOT NULL,
    text_hash bytea NOT NULL,
    fingerprint bytea NOT NULL,
    category text,
    own_split text,
    published_at timestamptz,
    superseded boolean NOT NULL DEFAULT false
) ON COMMIT DROP;
CREATE INDEX ON staged_articles (source, external_id, position);
CREATE TEMPORARY TABLE staged_texts (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint bytea NOT NULL,
    source text NOT NULL,
    external_id text NOT NULL,
    own_split text,
    bands bytea
) ON COMMIT DROP;
CREATE TEMPORARY TABLE staged_changes (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    article_id bigint NOT NULL,
    revision integer NOT NULL
) ON COMMIT DROP;
CREATE TEMPORARY TABLE staged_small_changes (
    article_id bigint NOT NULL,
    revision integer NOT NULL,
    fingerprint bytea NOT NULL,
    sketch bytea NOT NULL,
    PRIMARY KEY (article_id, fingerprint)
) ON COMMIT DROP;
CREATE TEMPORARY TABLE staged_rejected (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    place text NOT NULL,
    reason text NOT NULL,
    row text STORAGE EXTERNAL NOT NULL,
    row_hash bytea NOT NULL
) ON COMMIT DROP;
CREATE INDEX ON staged_rejected (place, row_hash)

-- staged_changed_texts
-- The staged texts that differ from their article's by more than case and white space. The former text is needed
-- only where the article has no sketch of the text that it began with. OFFSET 0: each article is looked up by the index.
SELECT
    article.id, article.revision, staged_articles.fingerprint, staged_articles.text, article.content_sketch,
    article.former
FROM staged_articles
CROSS JOIN LATERAL (
    SELECT
        id, revision, fingerprint, content_sketch, CASE WHEN content_sketch IS NULL THEN articles.text END AS former
    FROM articles
    WHERE articles.source = staged_articles.source AND articles.external_id = staged_articles.external_id
    OFFSET 0
) AS article
WHERE article.fingerprint <> staged_articles.fingerprint

-- add_small_changes
-- Arrays of one entry a change that leaves annotations in force: the revision it changes, the new text's
-- fingerprint, and the sketch of the text that was annotated first.
INSERT INTO staged_small_changes (article_id, revision, fingerprint, sketch)
SELECT article_id, revision, fingerprint, sketch
FROM unnest(
    CAST(:ids AS bigint[]), CAST(:revisions AS integer[]), CAST(:fingerprints AS bytea[]), CAST(:sketches AS bytea[])
) AS given (article_id, revision, fingerprint, sketch)
ON CONFLICT DO NOTHING

-- copy_articles
COPY staged_articles (source, external_id, text, text_hash, fingerprint, category, own_split, published_at)
FROM STDIN WITH (FORMAT csv)

-- copy_texts
COPY staged_texts (fingerprint, source, external_id, own_split, bands) FROM STDIN WITH (FORMAT csv)

-- copy_rejected
COPY staged_rejected (source, place, reason, row, row_hash) FROM STDIN WITH (FORMAT csv)

-- copy_predictions
COPY predictions (article_id, model_id, revision, category, confidence, probabilities)
FROM STDIN WITH (FORMAT binary)

-- last_staged
-- The last position of each staging table: how far its steps go.
SELECT
    (SELECT max(position) FROM staged_articles) AS staged_articles,
    (SELECT max(position) FROM staged_texts) AS staged_texts,
    (SELECT max(position) FROM staged_changes) AS staged_changes,
    (SELECT max(position) FROM staged_rejected) AS staged_rejected

-- count_new
-- How many articles of a step had not been here before.
SELECT count(*) FROM staged_changes WHERE position BETWEEN :first AND :last AND revision = 1

-- staged_texts
-- The texts of a step that had no split when they were staged, in their order.
SELECT fingerprint, source, external_id, own_split, bands
FROM staged_texts
WHERE position BETWEEN :first AND :last
ORDER BY position

-- keep_rejected
-- Keep the rejected rows of a step; the same row at the same place is kept once, and nothing changes where nothing is
-- new.
INSERT INTO rejected_rows (source, position, reason, row, row_hash, run_id, unit)
SELECT DISTINCT ON (source, place, row_hash) source, place, reason, row, row_hash, :run_id, :unit
FROM staged_rejected
WHERE position BETWEEN :first AND :last
ORDER BY source, place, row_hash, position DESC
ON CONFLICT (source, position, row_hash) DO UPDATE
SET reason = excluded.reason, run_id = excluded.run_id, unit = excluded.unit
WHERE rejected_rows.reason <> excluded.reason OR rejected_rows.unit IS DISTINCT FROM excluded.unit

-- drop_rejected_of_whole_unit
-- Of the next rejected rows, by id, of a unit that was read from end to end: drop what it does not hold any more, or
-- holds mended. Returns the last id looked at, null when there is none left.
WITH step AS MATERIALIZED (
    SELECT id, run_id, source, position, row_hash
    FROM rejected_rows
    WHERE unit = :unit AND id > :after
    ORDER BY id
    LIMIT :size
), dropped AS (
    DELETE FROM rejected_rows
    WHERE id = ANY(ARRAY(
        SELECT id
        FROM step
        WHERE (SELECT source FROM ingest_runs WHERE ingest_runs.id = step.run_id) = :source
          AND NOT EXISTS (
            SELECT FROM staged_rejected
            WHERE staged_rejected.place = step.position
              AND staged_rejected.row_hash = step.row_hash
              AND staged_rejected.source = step.source
            OFFSET 0
          )
    ))
)
SELECT max(id) FROM step

-- drop_rejected_of_part
-- The same of a unit that shows only a part each time: drop what has come in by the same id.
WITH step AS MATERIALIZED (
    SELECT id, run_id, source, position
    FROM rejected_rows
    WHERE unit = :unit AND id > :after
    ORDER BY id
    LIMIT :size
), dropped AS (
    DELETE FROM rejected_rows
    WHERE id = ANY(ARRAY(
        SELECT id
        FROM step
        WHERE (SELECT source FROM ingest_runs WHERE ingest_runs.id = step.run_id) = :source
          AND position LIKE 'id %'
          AND EXISTS (
            SELECT FROM staged_articles
            WHERE staged_articles.source = step.source AND staged_articles.external_id = substr(step.position, 4)
            OFFSET 0
          )
    ))
)
SELECT max(id) FROM step

-- show_timeouts
-- The limits of a statement and of its waiting for a lock.
SELECT current_setting('statement_timeout') AS statement_timeout, current_setting('lock_timeout') AS lock_timeout

-- split_lock_holder
-- Who lets the ingests wait that want to decide splits: the process of the server, what it is called and since when.
SELECT pg_stat_activity.pid, application_name, client_addr, xact_start
FROM pg_locks
JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory'
  AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (CAST(classid AS bigint) << 32) | CAST(objid AS bigint) = :key
  AND objsubid = 1

-- articles_by_id
-- What an evaluation keeps of its articles beside their texts. Of a text in several clusters the first counts.
SELECT articles.id, (
    SELECT min(cluster_id) FROM text_clusters WHERE text_clusters.fingerprint = articles.fingerprint
) AS cluster_id, articles.source, to_char(articles.published_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month
FROM articles
WHERE id = ANY(:ids)
ORDER BY id

-- evaluated_articles
-- An evaluation's articles, by id. OFFSET 0: each is looked up by the index.
SELECT
    article_id, evaluation_predictions.text_hash, words, cluster_id, category, baseline, article.source,
    coalesce(to_char(article.published_at AT TIME ZONE 'UTC', 'YYYY-MM'), '') AS month
FROM evaluation_predictions
CROSS JOIN LATERAL (SELECT source, published_at FROM articles WHERE id = article_id OFFSET 0) AS article
WHERE evaluation_id = :evaluation_id
ORDER BY article_id

-- evaluated_probabilities
-- What was answered on each, by the article's id. array_send: they come as bytes, since a list of Python's numbers takes
-- eight times their room.
SELECT array_send(probabilities) AS probabilities
FROM evaluation_predictions
WHERE evaluation_id = :evaluation_id
ORDER BY article_id

-- insert_evaluation_predictions
-- Arrays of one entry an article; the probabilities of all stand in one array, row by row.
INSERT INTO evaluation_predictions (
    evaluation_id, article_id, text_hash, words, cluster_id, category, baseline, gflops, probabilities
)
SELECT
    :evaluation_id, article_id, text_hash, words, cluster_id, category, baseline, gflops,
    (CAST(:probabilities AS real[]))[(place - 1) * :width + 1:place * :width]
FROM unnest(
    CAST(:ids AS bigint[]), CAST(:hashes AS bytea[]), CAST(:words AS integer[]), CAST(:clusters AS bigint[]),
    CAST(:categories AS text[]), CAST(:baselines AS text[]), CAST(:gflops AS double precision[])
) WITH ORDINALITY AS given (article_id, text_hash, words, cluster_id, category, baseline, gflops, place)

-- known_answers
-- What a model has answered to these texts with the same engine: in attempts to evaluate it that have not ended, and in
-- its newest evaluation. There, an answer's seconds are the mean of all.
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

-- insert_unfinished_answers
-- Arrays of one entry a text; the probabilities of all stand in one array, row by row. Of two evaluations at once,
-- the first one's answers stay: the other's are the same.
INSERT INTO evaluation_progress (model_id, engine, text_hash, gflops, seconds, probabilities)
SELECT
    :model_id, :engine, text_hash, gflops, :seconds,
    (CAST(:probabilities AS real[]))[(place - 1) * :width + 1:place * :width]
FROM unnest(CAST(:hashes AS bytea[]), CAST(:gflops AS double precision[]))
    WITH ORDINALITY AS given (text_hash, gflops, place)
ORDER BY text_hash
ON CONFLICT DO NOTHING

-- delete_unfinished_answers
-- What a model's evaluation does not need any more once it is stored, and what nobody continued with.
DELETE FROM evaluation_progress
WHERE model_id = :model_id OR answered_at < now() - make_interval(days => :days)

-- articles_to_relabel
-- Of these articles those that the champion has labelled as they are, with its category. OFFSET 0: each is looked up
-- by the indexes.
SELECT articles.id, articles.text, predicted.category
FROM articles
CROSS JOIN LATERAL (
    SELECT category FROM predictions
    WHERE predictions.article_id = articles.id
      AND predictions.model_id = :model_id
      AND predictions.revision = articles.revision
    OFFSET 0
) AS predicted
WHERE articles.id = ANY(:ids)
  AND NOT EXISTS (SELECT FROM annotations_in_force WHERE article_id = articles.id OFFSET 0)
ORDER BY articles.id

-- articles_to_label
-- Of these articles those that have no annotation in force.
SELECT articles.id, articles.text
FROM articles
WHERE articles.id = ANY(:ids)
  AND NOT EXISTS (SELECT FROM annotations_in_force WHERE article_id = articles.id OFFSET 0)
ORDER BY articles.id

-- count_to_label
-- How many articles a new champion has to label, from which id to which.
SELECT count(*) AS articles, min(id) AS first, max(id) AS last
FROM articles
WHERE NOT EXISTS (SELECT FROM annotations_in_force WHERE article_id = articles.id)

-- dequeue_labelled
-- Take off the queue, in a stretch of it, what waits for a label that the champion has given already. Only the
-- backlog's rows: a changed text raises a row's priority, which is checked again on the locked row. Returns
-- the last id looked at, or null when there is none left. OFFSET 0: each is looked up by the indexes.
WITH stretch AS MATERIALIZED (
    SELECT article_id FROM labelling_queue
    WHERE priority = 1 AND article_id > :after
    ORDER BY article_id
    LIMIT :size
), labelled AS MATERIALIZED (
    SELECT article_id
    FROM stretch
    WHERE EXISTS (
        SELECT FROM predictions
        WHERE predictions.article_id = stretch.article_id
          AND predictions.model_id = :model_id
          AND predictions.revision = (SELECT revision FROM articles WHERE articles.id = stretch.article_id)
        OFFSET 0
    )
), done AS MATERIALIZED (
    SELECT article_id
    FROM labelling_queue
    WHERE priority = 1 AND article_id = ANY(ARRAY(SELECT article_id FROM labelled))
    FOR UPDATE SKIP LOCKED
), dropped AS (
    DELETE FROM labelling_queue WHERE article_id = ANY(ARRAY(SELECT article_id FROM done))
)
SELECT max(article_id) FROM stretch

-- changes_of_champion
-- Every promotion and rollback, oldest first, with the status that its model has now.
SELECT model_id, verdict, models.status
FROM promotions
JOIN models ON models.id = model_id
WHERE verdict IN ('promoted', 'rolled back')
ORDER BY promotions.id

-- last_replaced
-- The model that the last change of champions replaced.
SELECT previous_id
FROM promotions
WHERE verdict IN ('promoted', 'rolled back')
ORDER BY id DESC
LIMIT 1

-- delete_predictions
-- Delete what a model said of the articles from one id to another.
WITH labelled AS (
    DELETE FROM predictions WHERE model_id = :model_id AND article_id BETWEEN :first AND :last RETURNING 1
), buried AS (
    DELETE FROM dead_letters WHERE model_id = :model_id AND article_id BETWEEN :first AND :last
)
SELECT count(*) FROM labelled

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

-- review_pool
-- In a share of the table's blocks, the articles that the model has labelled as they are, and which of them it may
-- choose for review: of the train split only, so that what a model finds hard is never what models are tested on.
-- OFFSET 0: each is looked up by the indexes; as joins, the planner may read all predictions.
SELECT
    articles.id, articles.revision, predicted.category, predicted.confidence, predicted.probabilities,
    (SELECT min(cluster_id) FROM text_clusters WHERE text_clusters.fingerprint = articles.fingerprint) AS cluster_id,
    articles.split = 'train'
    AND NOT EXISTS (SELECT FROM annotations_in_force WHERE article_id = articles.id OFFSET 0)
    AND NOT EXISTS (
        SELECT FROM review_queue
        WHERE review_queue.article_id = articles.id
          AND review_queue.model_id = :model_id
          AND review_queue.revision = articles.revision
          AND reason <> 'audit'
        OFFSET 0
    ) AS choosable
FROM articles TABLESAMPLE SYSTEM (:percent)
CROSS JOIN LATERAL (
    SELECT category, confidence, probabilities
    FROM predictions
    WHERE predictions.article_id = articles.id
      AND predictions.model_id = :model_id
      AND predictions.revision = articles.revision
    OFFSET 0
) AS predicted
ORDER BY articles.id

-- review_texts
-- The texts of these articles, but for those with a near-duplicate that is annotated, waits for review already, or
-- is kept from training. A text is its own near-duplicate. OFFSET 0: each is looked up by the indexes.
SELECT articles.id, articles.text
FROM articles
WHERE articles.id = ANY(CAST(:ids AS bigint[]))
  AND NOT EXISTS (
    SELECT
    FROM text_clusters AS own
    JOIN clusters ON clusters.id = own.cluster_id
    CROSS JOIN LATERAL (
        SELECT fingerprint FROM text_clusters WHERE text_clusters.cluster_id = own.cluster_id OFFSET 0
    ) AS other
    CROSS JOIN LATERAL (
        SELECT id, split FROM articles AS same WHERE same.fingerprint = other.fingerprint OFFSET 0
    ) AS twin
    WHERE own.fingerprint = articles.fingerprint
      AND (
        clusters.split <> 'train'
        OR twin.split <> 'train'
        OR EXISTS (SELECT FROM annotations_in_force AS known WHERE known.article_id = twin.id OFFSET 0)
        OR EXISTS (
            SELECT FROM review_queue
            WHERE review_queue.article_id = twin.id AND model_id = :model_id AND reason <> 'audit'
            OFFSET 0
        )
      )
    OFFSET 0
  )
ORDER BY articles.id

-- rewritten_articles
-- Articles that people have annotated whose text has become another one since, as the model has labelled them; not
-- those that have an annotation in force, or that this model has asked for already. OFFSET 0: looked up by the
-- indexes.
WITH rewritten AS MATERIALIZED (
    SELECT DISTINCT articles.id, articles.revision
    FROM annotations
    JOIN articles
        ON articles.id = annotations.article_id
        AND articles.content_revision > annotations.revision
        AND articles.content_revision > 1
    WHERE annotator NOT LIKE 'source:%'
)
SELECT id, rewritten.revision, predicted.category, predicted.confidence
FROM rewritten
CROSS JOIN LATERAL (
    SELECT category, confidence FROM predictions
    WHERE article_id = rewritten.id AND model_id = :model_id AND predictions.revision = rewritten.revision
    OFFSET 0
) AS predicted
WHERE NOT EXISTS (SELECT FROM annotations_in_force WHERE article_id = rewritten.id OFFSET 0)
  AND NOT EXISTS (
    SELECT FROM review_queue
    WHERE article_id = rewritten.id AND model_id = :model_id AND revision = rewritten.revision AND reason <> 'audit'
    OFFSET 0
  )
ORDER BY id
LIMIT :number

-- enqueue_reviews
-- Arrays of one entry an article.
INSERT INTO review_queue (article_id, model_id, revision, reason, category, confidence)
SELECT article_id, :model_id, revision, reason, category, confidence
FROM unnest(
    CAST(:ids AS bigint[]), CAST(:revisions AS integer[]), CAST(:reasons AS text[]), CAST(:categories AS text[]),
    CAST(:confidences AS real[])
) AS chosen (article_id, revision, reason, category, confidence)
ORDER BY article_id
ON CONFLICT DO NOTHING

-- waiting_reviews
-- What a model's queue still asks for: articles as they were labelled, of which no annotation is in force.
SELECT
    article_id, revision, array_agg(reason ORDER BY reason) AS reasons, min(category) AS category,
    min(confidence) AS confidence
FROM review_queue
WHERE model_id = :model_id
  AND revision = (SELECT revision FROM articles WHERE id = article_id)
  AND NOT EXISTS (SELECT FROM annotations_in_force AS own WHERE own.article_id = review_queue.article_id OFFSET 0)
GROUP BY article_id, revision
ORDER BY min(queued_at), article_id

-- queued_articles
-- Of these articles those that have been asked for, by any model, with their present revision.
SELECT id, revision
FROM articles
WHERE id = ANY(CAST(:ids AS bigint[]))
  AND EXISTS (SELECT FROM review_queue WHERE review_queue.article_id = articles.id)

-- known_categories
-- Those of the names that a model or an annotation has. Annotations are read once, and only for names of no model.
SELECT given.name
FROM unnest(CAST(:names AS text[])) AS given (name)
WHERE EXISTS (SELECT FROM models WHERE given.name = ANY(categories))
   OR given.name IN (SELECT category FROM annotations WHERE category = ANY(CAST(:names AS text[])))

-- annotated_categories
-- The first categories of all annotations, one look-up in the index each: DISTINCT would read every annotation.
WITH RECURSIVE named (category) AS (
    (SELECT category FROM annotations ORDER BY category LIMIT 1)
    UNION ALL
    SELECT (
        SELECT category FROM annotations WHERE annotations.category > named.category ORDER BY category LIMIT 1
    )
    FROM named
    WHERE category IS NOT NULL
)
SELECT category FROM named WHERE category IS NOT NULL LIMIT :size

-- annotate_reviewed
-- Arrays of one entry an annotation of a revision; what an annotator has said last already changes nothing. Checked and
-- inserted at once: an annotation has the revision that was read, so a text that changes at the same moment is not
-- annotated by it. Returns how many are new, and the places, from 1, of those whose text is another one now.
WITH given AS MATERIALIZED (
    SELECT given.*, given.revision = articles.revision AS present
    FROM unnest(
        CAST(:ids AS bigint[]), CAST(:revisions AS integer[]), CAST(:categories AS text[]),
        CAST(:annotators AS text[]), CAST(:comments AS text[])
    ) WITH ORDINALITY AS given (article_id, revision, category, annotator, comment, place)
    JOIN articles ON articles.id = article_id
), added AS (
    INSERT INTO annotations (article_id, revision, category, annotator, comment)
    SELECT article_id, revision, category, annotator, comment
    FROM given
    WHERE present
      AND NOT EXISTS (
        SELECT
        FROM (
            SELECT category, comment FROM annotations_in_force AS former
            WHERE former.article_id = given.article_id AND former.annotator = given.annotator
            ORDER BY former.id DESC LIMIT 1
        ) AS newest
        WHERE newest.category = given.category AND newest.comment IS NOT DISTINCT FROM given.comment
      )
    ORDER BY place
    RETURNING 1
)
SELECT
    (SELECT count(*) FROM added) AS added,
    (SELECT coalesce(array_agg(place), '{}') FROM given WHERE NOT present) AS changed

-- insert_decision
-- The annotation that settles what people said of an article: where a person's annotation of it is in force, and its
-- text is still the given revision, if one is given.
INSERT INTO annotations (article_id, revision, category, annotator, comment, is_resolution)
SELECT id, revision, :category, :annotator, :comment, true
FROM articles
WHERE id = :article_id
  AND (CAST(:revision AS integer) IS NULL OR revision = :revision)
  AND EXISTS (
    SELECT FROM annotations_in_force WHERE article_id = articles.id AND annotator NOT LIKE 'source:%' OFFSET 0
  )

-- disagreements
-- What each annotator said last of the articles that people disagree on and, where wanted, of those where people agree
-- and the source says otherwise; of all articles, or of one. Only what annotations differ on is looked at closely.
WITH suspects AS MATERIALIZED (
    SELECT article_id
    FROM annotations_in_force
    WHERE (:settled OR annotator NOT LIKE 'source:%')
      AND (CAST(:article_id AS bigint) IS NULL OR article_id = :article_id)
    GROUP BY article_id
    HAVING min(category) <> max(category) AND bool_or(annotator NOT LIKE 'source:%')
), said AS MATERIALIZED (
    SELECT
        suspects.article_id, annotator, category, comment, annotated_at,
        min(category) FILTER (WHERE by_a_person) OVER article
            <> max(category) FILTER (WHERE by_a_person) OVER article AS open,
        min(category) OVER article <> max(category) OVER article AS differs
    FROM suspects
    CROSS JOIN LATERAL (
        SELECT annotator, category, comment, annotated_at, true AS by_a_person
        FROM annotation_opinions
        WHERE annotation_opinions.article_id = suspects.article_id
        UNION ALL
        (
            SELECT annotator, category, comment, annotated_at, false
            FROM annotations_in_force
            WHERE annotations_in_force.article_id = suspects.article_id AND annotator LIKE 'source:%'
            ORDER BY id DESC
            LIMIT 1
        )
    ) AS opinions
    WINDOW article AS (PARTITION BY suspects.article_id)
)
SELECT said.article_id, article.source, article.external_id, annotator, category, comment, annotated_at, open
FROM said
CROSS JOIN LATERAL (SELECT source, external_id FROM articles WHERE id = said.article_id OFFSET 0) AS article
WHERE open OR (:settled AND differs)
ORDER BY said.article_id, annotated_at, annotator

-- audited_reviews
-- The articles drawn at random from a model's labels, with the annotation that counts; null: nobody has annotated the
-- article, or people disagree. OFFSET 0: each article's conflict is looked up.
SELECT review_queue.category, review_queue.confidence, truth.category AS annotated
FROM review_queue
LEFT JOIN LATERAL (
    SELECT category FROM effective_annotations AS counts WHERE counts.article_id = review_queue.article_id OFFSET 0
) AS truth
    ON NOT EXISTS (
        SELECT FROM annotation_conflicts WHERE annotation_conflicts.article_id = review_queue.article_id OFFSET 0
    )
WHERE model_id = :model_id
  AND reason = 'audit'
  AND review_queue.revision = (SELECT revision FROM articles WHERE id = article_id)
  AND (CAST(:since AS timestamptz) IS NULL OR queued_at >= :since)

-- count_conflicts
-- How many articles people disagree on.
SELECT count(*) FROM annotation_conflicts

-- close_database
-- Take from everybody what Postgres lets everybody do: connect, make temporary tables and, before version 15, tables.
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC

-- create_role
-- Without a password nobody logs in over the network.
CREATE ROLE {role} LOGIN

-- create_reader
-- The setting keeps a slip from looking like a change; what guards the rows is that no right to change them is granted.
CREATE ROLE {role} LOGIN;
ALTER ROLE {role} SET default_transaction_read_only = on

-- set_password
-- The password comes hashed, so that no log of statements has it.
ALTER ROLE {role} PASSWORD {verifier}

-- grant_pipeline
-- Rows of all tables, those of later versions too, and an ingest's temporary tables. What people annotated, what was
-- decided and measured, and the tables' versions stay as they are; articles and models are never deleted.
GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {role};
GRANT USAGE ON SCHEMA public, optuna TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, optuna TO {role};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public, optuna TO {role};
ALTER DEFAULT PRIVILEGES IN SCHEMA public, optuna GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role};
ALTER DEFAULT PRIVILEGES IN SCHEMA public, optuna GRANT USAGE ON SEQUENCES TO {role};
REVOKE INSERT, UPDATE, DELETE ON alembic_version, optuna.alembic_version, optuna.version_info FROM {role};
REVOKE UPDATE, DELETE ON annotations, evaluations, evaluation_predictions, promotions FROM {role};
REVOKE INSERT, UPDATE, DELETE ON annotations_in_force, effective_annotations FROM {role};
REVOKE DELETE ON articles, models FROM {role}

-- grant_analyst
-- Labels, and what says how they came about. No column that holds an article's text, whole or in part, and none that
-- tells where sources are.
GRANT CONNECT ON DATABASE {database} TO {role};
GRANT USAGE ON SCHEMA public TO {role};
GRANT SELECT ON article_labels, annotation_conflicts, annotation_opinions, annotations, predictions TO {role};
GRANT SELECT ON annotations_in_force, effective_annotations TO {role};
GRANT SELECT ON models, promotions, evaluations, evaluation_predictions, drift_runs TO {role};
GRANT SELECT ON labelling_queue, review_queue, dead_letters, training_runs, training_metrics TO {role};
GRANT SELECT (id, source, external_id, revision, content_revision, split, published_at, ingested_at, changed_at)
    ON articles TO {role};
GRANT SELECT (id, source, kind, status, files, read, new, changed, unchanged, rejected, duplicates, started_at, finished_at)
    ON ingest_runs TO {role};
GRANT SELECT (id, source, reason, rejected_at, run_id) ON rejected_rows TO {role}
