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

-- claim_backfill
-- Take the champion's backlog for this transaction: nobody else enqueues it or becomes champion. No row where
-- somebody else does so right now, or where all of it is enqueued.
SELECT backfilled_to
FROM models
WHERE id = :model_id AND status = 'champion' AND backfilled_to IS NOT NULL
FOR NO KEY UPDATE SKIP LOCKED

-- try_lock_pages_of_other_models
-- Say whether no page of another model is open, and keep it so: with a page of a former champion, what
-- looks claimed would have to be enqueued again, and what looks free could be.
SELECT coalesce(bool_and(pg_try_advisory_xact_lock(:pages, CAST(id AS integer))), true)
FROM models
WHERE id <> :model_id

-- enqueue_backfill_chunk
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

-- remaining_backfill
-- How many articles the champion's backlog has not looked at yet, about: by ids, as if none were missing.
SELECT greatest(0, coalesce((SELECT max(id) FROM articles), 0) - models.backfilled_to) AS articles
FROM models
WHERE status = 'champion' AND backfilled_to IS NOT NULL

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
