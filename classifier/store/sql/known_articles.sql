-- texts_with_other_ids
-- Count the new rows of a step whose texts are articles of the same source with another kind of id: one is the text's
-- hash, which is the id if no column is named, and the other is not. OFFSET 0: each row is looked up by the indexes.
SELECT count(*) AS texts, min(stored.external_id) AS example, bool_or(stored.is_hash) AS are_hashes
FROM staged_articles
CROSS JOIN LATERAL (
    SELECT external_id, external_id = left(encode(articles.text_hash, 'hex'), 32) AS is_hash
    FROM articles
    WHERE articles.fingerprint = staged_articles.fingerprint
      AND articles.text_hash = staged_articles.text_hash
      AND articles.source = staged_articles.source
      AND (external_id = left(encode(articles.text_hash, 'hex'), 32))
        <> (staged_articles.external_id = left(encode(staged_articles.text_hash, 'hex'), 32))
    LIMIT 1
) AS stored
WHERE position BETWEEN :first AND :last
  AND NOT EXISTS (
    SELECT FROM articles
    WHERE articles.source = staged_articles.source AND articles.external_id = staged_articles.external_id
    OFFSET 0
  )

-- count_other_splits
-- Count the rows of a step that name another split than their article has.
SELECT count(*)
FROM staged_articles
CROSS JOIN LATERAL (
    SELECT split FROM articles
    WHERE articles.source = staged_articles.source AND articles.external_id = staged_articles.external_id
    OFFSET 0
) AS present
WHERE position BETWEEN :first AND :last AND NOT superseded AND own_split <> present.split

-- sources_of_changed_articles
-- Return the runs that inserted the articles that a step has changed, by their source, with the number of articles.
SELECT runs.source, count(*) AS articles
FROM staged_changes
CROSS JOIN LATERAL (SELECT run_id FROM articles WHERE id = staged_changes.article_id OFFSET 0) AS changed
CROSS JOIN LATERAL (SELECT source FROM ingest_runs WHERE id = changed.run_id AND kind = 'files' OFFSET 0) AS runs
WHERE position BETWEEN :first AND :last AND staged_changes.revision > 1 AND changed.run_id <> :run_id
GROUP BY runs.source
