-- mark_superseded
-- Mark the staged rows of a step that a later row of the same article supersedes: the last row of a file wins. OFFSET
-- 0, here and in the steps below: each row is looked up by an index, although the planner has no statistics of
-- temporary tables.
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
-- Upsert a step of the staged articles by (source, external_id). An article keeps its split. New and changed articles
-- are recorded in staged_changes. Annotations stay in force after a change of case or white space, and after a change
-- that staged_small_changes has for this very text. A row without a title or an address leaves those of the article. A
-- changed title is a new revision, because models read it, but not a change of content. A changed address is neither.
WITH merged AS (
    INSERT INTO articles (source, external_id, text, text_hash, fingerprint, split, published_at, title, url, run_id)
    SELECT
        source, external_id, text, text_hash, fingerprint,
        coalesce(
            own_split, (SELECT split FROM splits WHERE splits.fingerprint = staged_articles.fingerprint OFFSET 0)
        ),
        published_at, title, url, :run_id
    FROM staged_articles
    WHERE position BETWEEN :first AND :last AND NOT superseded
    ON CONFLICT (source, external_id) DO UPDATE
    SET text = excluded.text,
        text_hash = excluded.text_hash,
        fingerprint = excluded.fingerprint,
        published_at = coalesce(excluded.published_at, articles.published_at),
        title = coalesce(excluded.title, articles.title),
        url = coalesce(excluded.url, articles.url),
        revision = CASE
            WHEN articles.text_hash = excluded.text_hash
                AND articles.title IS NOT DISTINCT FROM coalesce(excluded.title, articles.title)
            THEN articles.revision
            ELSE articles.revision + 1
        END,
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
        changed_at = CASE
            WHEN articles.text_hash = excluded.text_hash
                AND articles.title IS NOT DISTINCT FROM coalesce(excluded.title, articles.title)
            THEN articles.changed_at
            ELSE now()
        END,
        changed_run_id = CASE
            WHEN articles.text_hash = excluded.text_hash
                AND articles.title IS NOT DISTINCT FROM coalesce(excluded.title, articles.title)
            THEN articles.changed_run_id
            ELSE excluded.run_id
        END
    WHERE articles.text_hash <> excluded.text_hash
       OR articles.title IS DISTINCT FROM coalesce(excluded.title, articles.title)
       OR articles.url IS DISTINCT FROM coalesce(excluded.url, articles.url)
    RETURNING id, revision, changed_at
)
INSERT INTO staged_changes (article_id, revision)
SELECT id, revision FROM merged WHERE changed_at = now()

-- annotate_staged_articles
-- Insert a step's annotations of the source, unless the source's last annotation of the present text for the task has
-- the same categories, even if it was retracted. Of several rows, the last one with an annotation for the task and the
-- stored text wins. Returns their number.
WITH staged AS MATERIALIZED (
    SELECT
        article.id, article.revision, article.content_revision, staged_articles.source,
        CAST(annotation.task AS bigint) AS task_id,
        ARRAY(SELECT jsonb_array_elements_text(annotation.names)) AS categories
    FROM staged_articles
    CROSS JOIN LATERAL jsonb_each(annotations) AS annotation (task, names)
    CROSS JOIN LATERAL (
        SELECT id, revision, content_revision, fingerprint FROM articles
        WHERE articles.source = staged_articles.source AND articles.external_id = staged_articles.external_id
        OFFSET 0
    ) AS article
    WHERE staged_articles.position BETWEEN :first AND :last
      AND article.fingerprint = staged_articles.fingerprint
      AND NOT (superseded AND EXISTS (
        SELECT FROM staged_articles AS later
        WHERE later.source = staged_articles.source
          AND later.external_id = staged_articles.external_id
          AND later.position > staged_articles.position
          AND jsonb_exists(later.annotations, annotation.task)
          AND later.fingerprint = staged_articles.fingerprint
        OFFSET 0
      ))
), added AS (
    INSERT INTO annotations (article_id, task_id, revision, categories, annotator, run_id)
    SELECT staged.id, staged.task_id, staged.revision, staged.categories, 'source:' || staged.source, :run_id
    FROM staged
    WHERE staged.categories IS DISTINCT FROM (
        SELECT categories FROM annotations AS previous
        WHERE previous.article_id = staged.id
          AND previous.task_id = staged.task_id
          AND previous.annotator = 'source:' || staged.source
          AND previous.revision >= staged.content_revision
        ORDER BY previous.id DESC LIMIT 1
    )
    ORDER BY staged.id, staged.task_id
    RETURNING task_id, categories
), named AS (
    INSERT INTO categories (task_id, name)
    SELECT DISTINCT task_id, name FROM added CROSS JOIN unnest(categories) AS name
    ORDER BY task_id, name
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM added

-- enqueue_staged_articles
-- Enqueue a step's new and changed articles for every task for which no annotation is in force. DO UPDATE, not DO
-- NOTHING: it locks a row that waits already, so no worker claims it with the previous text.
INSERT INTO labelling_queue (article_id, task_id, priority)
SELECT staged_changes.article_id, tasks.id, 0
FROM staged_changes
JOIN tasks ON archived_at IS NULL
WHERE position BETWEEN :first AND :last
  AND NOT EXISTS (
    SELECT FROM annotations_in_force AS own
    WHERE own.article_id = staged_changes.article_id AND own.task_id = tasks.id
    OFFSET 0
  )
ORDER BY staged_changes.article_id, tasks.id
ON CONFLICT (article_id, task_id) DO UPDATE SET priority = 0, enqueued_at = now()

-- dequeue_annotated
-- Delete from the queue the articles of a step for the tasks that their source has annotated. A repeated annotation whose
-- category was split does not count. ARRAY: the entries are looked up by the index.
WITH annotated AS MATERIALIZED (
    SELECT DISTINCT article.id AS article_id, CAST(annotation.task AS bigint) AS task_id
    FROM staged_articles
    CROSS JOIN LATERAL jsonb_object_keys(annotations) AS annotation (task)
    CROSS JOIN LATERAL (
        SELECT id, fingerprint FROM articles
        WHERE articles.source = staged_articles.source AND articles.external_id = staged_articles.external_id
        OFFSET 0
    ) AS article
    WHERE staged_articles.position BETWEEN :first AND :last AND article.fingerprint = staged_articles.fingerprint
)
DELETE FROM labelling_queue
USING annotated
WHERE labelling_queue.article_id = ANY(ARRAY(SELECT article_id FROM annotated))
  AND labelling_queue.article_id = annotated.article_id
  AND labelling_queue.task_id = annotated.task_id
  AND EXISTS (
    SELECT FROM annotations_in_force AS own
    WHERE own.article_id = annotated.article_id AND own.task_id = annotated.task_id
    OFFSET 0
  )

-- count_new
-- Count the new articles of a step.
SELECT count(*) FROM staged_changes WHERE position BETWEEN :first AND :last AND revision = 1
