-- staged_changed_texts
-- Return the staged texts that differ from their article's text by more than case and white space. The previous text is
-- needed only if the article has no sketch of the text at content_revision. OFFSET 0: each article is looked up by the
-- index.
SELECT
    article.id, article.revision, staged_articles.fingerprint, staged_articles.text, article.content_sketch,
    article.previous_text
FROM staged_articles
CROSS JOIN LATERAL (
    SELECT
        id, revision, fingerprint, content_sketch, CASE WHEN content_sketch IS NULL THEN articles.text END AS previous_text
    FROM articles
    WHERE articles.source = staged_articles.source AND articles.external_id = staged_articles.external_id
    OFFSET 0
) AS article
WHERE article.fingerprint <> staged_articles.fingerprint

-- add_small_changes
-- Insert changes that leave annotations in force, from arrays with one entry a change: the revision that it changes,
-- the fingerprint of the new text, and the sketch of the text at content_revision.
INSERT INTO staged_small_changes (article_id, revision, fingerprint, sketch)
SELECT article_id, revision, fingerprint, sketch
FROM unnest(
    CAST(:ids AS bigint[]), CAST(:revisions AS integer[]), CAST(:fingerprints AS bytea[]), CAST(:sketches AS bytea[])
) AS input_rows (article_id, revision, fingerprint, sketch)
ON CONFLICT DO NOTHING
