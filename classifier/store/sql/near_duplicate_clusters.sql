-- fingerprints_with_split
-- Which of the texts have a split. OFFSET 0, here and below: each is looked up by an index, however many are asked for.
SELECT given.fingerprint
FROM unnest(CAST(:fingerprints AS bytea[])) AS given (fingerprint)
WHERE EXISTS (SELECT FROM splits WHERE splits.fingerprint = given.fingerprint OFFSET 0)

-- article_splits
-- Which of the rows are there as articles, and in which split: a new text of an old article stays in it.
SELECT staged.source, staged.external_id, present.split
FROM unnest(CAST(:sources AS text[]), CAST(:external_ids AS text[])) AS staged (source, external_id)
CROSS JOIN LATERAL (
    SELECT split FROM articles
    WHERE articles.source = staged.source AND articles.external_id = staged.external_id
    OFFSET 0
) AS present

-- clusters_of_bands
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

-- insert_cluster_bridges
-- The further clusters of texts that touch several.
INSERT INTO cluster_bridges (fingerprint, cluster_id)
SELECT fingerprint, cluster_id
FROM unnest(CAST(:fingerprints AS bytea[]), CAST(:cluster_ids AS bigint[])) AS found (fingerprint, cluster_id)

-- copy_bands
COPY cluster_bands (band, cluster_id) FROM STDIN WITH (FORMAT binary)

-- take_unclustered_splits
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

-- clusters_of_articles
-- The clusters of near-duplicates that these articles' texts belong to: a text may be in several, and one of before
-- there were clusters is in none. OFFSET 0: each is looked up by the indexes.
SELECT articles.id, articles.fingerprint, own.cluster_id
FROM articles
LEFT JOIN LATERAL (
    SELECT cluster_id FROM text_clusters WHERE text_clusters.fingerprint = articles.fingerprint OFFSET 0
) AS own ON true
WHERE articles.id = ANY(CAST(:ids AS bigint[]))

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
