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
