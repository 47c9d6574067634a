-- articles_to_erase
-- Return the articles of a batch of ids, with everything that they are recognized by. FOR UPDATE: no ingest changes them
-- meanwhile.
SELECT id, source, external_id, title, text, text_hash, fingerprint
FROM articles
WHERE id = ANY(CAST(:ids AS bigint[]))
ORDER BY id
FOR UPDATE

-- article_identities
-- Return what these articles are recognized by. input_hash: of what models read, see `annotated_articles.input_hash`.
SELECT
    id, source, external_id, fingerprint, left(text, 200) AS beginning,
    CASE
        WHEN title IS NULL THEN text_hash
        ELSE sha256(convert_to(title, 'UTF8') || decode('00', 'hex') || convert_to(text, 'UTF8'))
    END AS input_hash
FROM articles
WHERE id = ANY(CAST(:ids AS bigint[]))
ORDER BY id

-- texts_of_other_articles
-- Return those of the fingerprints that an article has that is not one of these.
SELECT requested.fingerprint
FROM unnest(CAST(:fingerprints AS bytea[])) AS requested (fingerprint)
WHERE EXISTS (
    SELECT FROM articles
    WHERE articles.fingerprint = requested.fingerprint AND articles.id <> ALL(CAST(:ids AS bigint[]))
    OFFSET 0
)

-- ids_by_external_id
-- Return the articles with these external ids, of one source or of all.
SELECT id FROM articles
WHERE external_id = ANY(CAST(:external_ids AS text[])) AND (CAST(:source AS text) IS NULL OR source = :source)
ORDER BY id

-- ids_by_source
-- Return the articles of a source.
SELECT id FROM articles WHERE source = :source ORDER BY id

-- all_article_identities
-- Return what every article is recognized by.
SELECT id, source, external_id, fingerprint FROM articles ORDER BY id

-- annotated_outside_test
-- Return whether one of the articles may have been trained on: it has an annotation, and is not in the test split.
SELECT EXISTS (
    SELECT FROM articles
    WHERE id = ANY(CAST(:ids AS bigint[]))
      AND split <> 'test'
      AND EXISTS (SELECT FROM annotations WHERE annotations.article_id = articles.id OFFSET 0)
)

-- count_dependent_rows
-- Count the rows that belong to the articles, by table.
SELECT
    (SELECT count(*) FROM articles WHERE id = ANY(CAST(:ids AS bigint[]))) AS articles,
    (SELECT count(*) FROM annotations WHERE article_id = ANY(CAST(:ids AS bigint[]))) AS annotations,
    (SELECT count(*) FROM predictions WHERE article_id = ANY(CAST(:ids AS bigint[]))) AS predictions,
    (SELECT count(*) FROM evaluation_predictions WHERE article_id = ANY(CAST(:ids AS bigint[])))
        AS evaluation_predictions,
    (SELECT count(*) FROM labelling_queue WHERE article_id = ANY(CAST(:ids AS bigint[]))) AS labelling_queue,
    (SELECT count(*) FROM review_queue WHERE article_id = ANY(CAST(:ids AS bigint[]))) AS review_queue,
    (SELECT count(*) FROM dead_letters WHERE article_id = ANY(CAST(:ids AS bigint[]))) AS dead_letters

-- leave_queue
-- Delete the articles from the labelling queue. This waits for workers that are labelling them, and comes first: a worker
-- that has claimed an article waits for nothing else.
DELETE FROM labelling_queue WHERE article_id = ANY(CAST(:ids AS bigint[]))

-- delete_articles
-- Delete articles; the rows that belong to them follow by their foreign keys.
DELETE FROM articles WHERE id = ANY(CAST(:ids AS bigint[]))

-- delete_progress_of_texts
-- Delete the outputs of unfinished evaluations for these texts. If another article has the text, they are computed again.
DELETE FROM evaluation_progress WHERE text_hash = ANY(CAST(:hashes AS bytea[]))

-- texts_without_article
-- Return those of the fingerprints that no article has.
SELECT requested.fingerprint
FROM unnest(CAST(:fingerprints AS bytea[])) AS requested (fingerprint)
WHERE NOT EXISTS (SELECT FROM articles WHERE articles.fingerprint = requested.fingerprint OFFSET 0)

-- clusters_of_texts
-- Return the clusters of these texts.
SELECT DISTINCT cluster_id FROM text_clusters WHERE fingerprint = ANY(CAST(:fingerprints AS bytea[]))

-- delete_splits_of_texts
-- Delete the splits of texts.
DELETE FROM splits WHERE fingerprint = ANY(CAST(:fingerprints AS bytea[]))

-- delete_bridges_of_texts
-- Delete the further clusters of texts.
DELETE FROM cluster_bridges WHERE fingerprint = ANY(CAST(:fingerprints AS bytea[]))

-- empty_clusters
-- Return those of the clusters that have no text any more.
SELECT requested.id
FROM unnest(CAST(:ids AS bigint[])) AS requested (id)
WHERE NOT EXISTS (SELECT FROM text_clusters WHERE text_clusters.cluster_id = requested.id OFFSET 0)

-- delete_clusters
-- Delete clusters.
DELETE FROM clusters WHERE id = ANY(CAST(:ids AS bigint[]))

-- delete_bands_of_clusters
-- Delete all bands of clusters.
DELETE FROM cluster_bands WHERE cluster_id = ANY(CAST(:ids AS bigint[]))

-- remaining_texts_of_clusters
-- Return the texts that clusters still have; null: no article has the text any more.
SELECT members.fingerprint, article.text
FROM (
    SELECT DISTINCT fingerprint FROM text_clusters WHERE cluster_id = ANY(CAST(:ids AS bigint[]))
) AS members
LEFT JOIN LATERAL (
    SELECT text FROM articles WHERE articles.fingerprint = members.fingerprint LIMIT 1
) AS article ON true

-- delete_bands
-- Delete bands of clusters.
DELETE FROM cluster_bands
WHERE band = ANY(CAST(:bands AS bigint[])) AND cluster_id = ANY(CAST(:ids AS bigint[]))

-- rejected_row_contents
-- Return the copies of all rejected rows.
SELECT id, source, position, row FROM rejected_rows ORDER BY id

-- delete_rejected_rows
-- Delete rejected rows.
DELETE FROM rejected_rows WHERE id = ANY(CAST(:ids AS bigint[]))

-- evaluations_that_list
-- Return the evaluations whose list of mistakes has one of the articles.
SELECT id, metrics
FROM evaluations
WHERE EXISTS (
    SELECT FROM jsonb_array_elements(
        CASE WHEN jsonb_typeof(metrics #> '{report,mistakes}') = 'array'
        THEN metrics #> '{report,mistakes}' ELSE '[]' END
    ) AS mistake
    WHERE CAST(mistake ->> 'article' AS bigint) = ANY(CAST(:ids AS bigint[]))
)

-- registered_models
-- Return the models whose files exist, with their manifests' hashes and the models that they started from.
SELECT id, name, artefact, manifest_sha256, training ->> 'from' AS start FROM models WHERE status <> 'pruned' ORDER BY id

-- set_manifest
-- Register the manifest of a model whose snapshot has changed.
UPDATE models
SET manifest_sha256 = :manifest_sha256,
    training = jsonb_set(
        jsonb_set(training, '{data,snapshot}', to_jsonb(CAST(:file AS text))),
        '{data,snapshot_sha256}', to_jsonb(CAST(:file_sha256 AS text))
    )
WHERE id = :id AND manifest_sha256 = :former_sha256

-- analyze_tables
-- Sample the tables again: the planner's statistics hold examples of ids and texts.
ANALYZE articles, annotations, predictions, rejected_rows, splits, cluster_bands, evaluation_predictions

-- erased_digests
-- Return those of the digests that belong to erased articles.
SELECT digest FROM erased_articles WHERE digest = ANY(CAST(:digests AS bytea[]))

-- add_digests
-- Insert digests of articles that are being erased.
INSERT INTO erased_articles (digest, erasure_id)
SELECT DISTINCT digest, CAST(:erasure_id AS bigint) FROM unnest(CAST(:digests AS bytea[])) AS new (digest)
ON CONFLICT DO NOTHING

-- count_erasure
-- Add a batch's counts to its receipt.
UPDATE erasures
SET articles = articles + :articles,
    rows = (
        SELECT coalesce(jsonb_object_agg(name, coalesce(CAST(rows ->> name AS bigint), 0) + coalesce(CAST(CAST(:rows AS jsonb) ->> name AS bigint), 0)), '{}')
        FROM (SELECT jsonb_object_keys(rows) UNION SELECT jsonb_object_keys(CAST(:rows AS jsonb))) AS keys (name)
    )
WHERE id = :id
