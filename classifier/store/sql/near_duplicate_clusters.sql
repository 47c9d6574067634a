-- fingerprints_with_split
-- Return the texts that have a split. OFFSET 0, here and below: each text is looked up by an index, however many are
-- given.
SELECT requested.fingerprint
FROM unnest(CAST(:fingerprints AS bytea[])) AS requested (fingerprint)
WHERE EXISTS (SELECT FROM splits WHERE splits.fingerprint = requested.fingerprint OFFSET 0)

-- article_splits
-- Return the rows that exist as articles, with their splits: a changed article keeps its split.
SELECT staged.source, staged.external_id, present.split
FROM unnest(CAST(:sources AS text[]), CAST(:external_ids AS text[])) AS staged (source, external_id)
CROSS JOIN LATERAL (
    SELECT split FROM articles
    WHERE articles.source = staged.source AND articles.external_id = staged.external_id
    OFFSET 0
) AS present

-- clusters_of_bands
-- Return the known bands with their clusters.
SELECT requested.band, present.cluster_id
FROM unnest(CAST(:bands AS bigint[])) AS requested (band)
CROSS JOIN LATERAL (SELECT cluster_id FROM cluster_bands WHERE cluster_bands.band = requested.band OFFSET 0) AS present

-- cluster_splits
-- Return the splits of clusters.
SELECT requested.id, present.split
FROM unnest(CAST(:ids AS bigint[])) AS requested (id)
CROSS JOIN LATERAL (SELECT split FROM clusters WHERE clusters.id = requested.id OFFSET 0) AS present

-- texts_of_clusters
-- Return all texts of clusters, also those of deleted or changed articles.
SELECT cluster_id, fingerprint FROM text_clusters WHERE cluster_id = ANY(CAST(:ids AS bigint[]))

-- unchanged_fingerprints
-- Return the fingerprints of articles whose texts still have the given hashes.
SELECT articles.fingerprint
FROM unnest(CAST(:ids AS bigint[]), CAST(:hashes AS bytea[])) AS requested (id, text_hash)
JOIN articles USING (id, text_hash)

-- insert_clusters
-- A cluster's id comes from a fingerprint. If two clusters share an id, they are one.
INSERT INTO clusters (id, split)
SELECT id, split FROM unnest(CAST(:ids AS bigint[]), CAST(:splits AS text[])) AS new_clusters (id, split)
ON CONFLICT (id) DO NOTHING

-- insert_splits
-- No other transaction decides splits meanwhile, so there can be no conflict.
INSERT INTO splits (fingerprint, split, cluster_id)
SELECT fingerprint, split, cluster_id
FROM unnest(CAST(:fingerprints AS bytea[]), CAST(:splits AS text[]), CAST(:cluster_ids AS bigint[]))
    AS new_splits (fingerprint, split, cluster_id)
ORDER BY fingerprint

-- insert_cluster_bridges
-- Insert the further clusters of texts that are near texts of several clusters.
INSERT INTO cluster_bridges (fingerprint, cluster_id)
SELECT fingerprint, cluster_id
FROM unnest(CAST(:fingerprints AS bytea[]), CAST(:cluster_ids AS bigint[])) AS new_bridges (fingerprint, cluster_id)

-- copy_bands
COPY cluster_bands (band, cluster_id) FROM STDIN WITH (FORMAT binary)

-- take_unclustered_splits
-- Delete and return splits that were decided before there were clusters, so that their texts can be clustered. Their
-- articles keep their splits.
WITH deleted AS (
    DELETE FROM splits
    WHERE fingerprint IN (SELECT fingerprint FROM splits WHERE cluster_id IS NULL ORDER BY fingerprint LIMIT :size)
    RETURNING fingerprint, split
)
SELECT DISTINCT ON (deleted.fingerprint) deleted.fingerprint, deleted.split, articles.text
FROM deleted
LEFT JOIN articles USING (fingerprint)
ORDER BY deleted.fingerprint, articles.id

-- clusters_of_articles
-- Return the clusters of near-duplicates of these articles' texts: a text may be in several clusters, or in none.
-- OFFSET 0: each article is looked up by the indexes.
SELECT articles.id, articles.fingerprint, own.cluster_id
FROM articles
LEFT JOIN LATERAL (
    SELECT cluster_id FROM text_clusters WHERE text_clusters.fingerprint = articles.fingerprint OFFSET 0
) AS own ON true
WHERE articles.id = ANY(CAST(:ids AS bigint[]))

-- show_timeouts
-- Return the time limits of a statement and of waiting for a lock.
SELECT current_setting('statement_timeout') AS statement_timeout, current_setting('lock_timeout') AS lock_timeout

-- split_lock_holder
-- Return the session that holds the lock for deciding splits: process id, application, address and start of the
-- transaction.
SELECT pg_stat_activity.pid, application_name, client_addr, xact_start
FROM pg_locks
JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory'
  AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (CAST(classid AS bigint) << 32) | CAST(objid AS bigint) = :key
  AND objsubid = 1
