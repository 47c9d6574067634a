-- open_page
-- Begin a page: a later champion's backfill can see that a page of this model is open. The server must not end the
-- transaction because it idles while the model computes.
SELECT
    pg_advisory_xact_lock_shared(:pages, :model_id),
    set_config('idle_in_transaction_session_timeout', '0', true)

-- claim_page
-- Claim a page of the queue until the end of this transaction, and return its articles' ids. The rows are deleted at
-- once: if the worker dies, the transaction rolls back and they can be claimed again. Rows that another worker holds
-- are skipped. ARRAY: the locking SELECT runs once, and its rows are looked up by the index; with a join, the planner
-- scans the whole queue. The size of a long text is read without reading the text.
DELETE FROM labelling_queue
WHERE task_id = :task_id AND article_id = ANY(ARRAY(
    SELECT article_id
    FROM labelling_queue
    WHERE task_id = :task_id AND priority BETWEEN :first AND :last
    ORDER BY priority, article_id
    LIMIT :size
    FOR UPDATE SKIP LOCKED
))
RETURNING priority, article_id, (SELECT octet_length(text) FROM articles WHERE id = article_id) AS bytes

-- claim_selected_page
-- The same for a selection of articles. A run continues after the last row that it claimed, so rows that do not match
-- are not examined again for each page.
DELETE FROM labelling_queue
WHERE task_id = :task_id AND article_id = ANY(ARRAY(
    SELECT article_id
    FROM labelling_queue
    JOIN articles ON articles.id = article_id
    WHERE task_id = :task_id AND priority BETWEEN :first AND :last
      AND (priority, article_id) > (:after_priority, :after_id)
      AND (CAST(:source AS text) IS NULL OR source = :source)
      AND (CAST(:since AS timestamptz) IS NULL OR coalesce(published_at, ingested_at) >= :since)
    ORDER BY priority, article_id
    LIMIT :size
    FOR UPDATE OF labelling_queue SKIP LOCKED
))
RETURNING priority, article_id, (SELECT octet_length(text) FROM articles WHERE id = article_id) AS bytes

-- claimed_articles
-- Read the claimed articles. This must be a separate statement: its snapshot is newer than the locks on the queue. If
-- the claim itself read the texts, a text could change, and be enqueued again, between the claim's snapshot and its
-- lock; the new text would never be labelled.
SELECT id, revision, title, text FROM articles WHERE id = ANY(:ids) ORDER BY id

-- claim_backfill
-- Claim the champion's backfill until the end of this transaction: no other worker continues it, and no other model
-- becomes champion. Returns no row if another transaction holds it, if the backfill is finished, or if the task was
-- archived.
SELECT backfilled_to
FROM models
JOIN tasks ON tasks.id = task_id AND archived_at IS NULL
WHERE models.id = :model_id AND status = 'champion' AND backfilled_to IS NOT NULL
FOR NO KEY UPDATE OF models SKIP LOCKED

-- try_lock_pages_of_other_models
-- Return whether no page of another model is open, and prevent new ones. With an open page of a former champion,
-- articles that look claimed may need to be enqueued again, and articles that look free could be claimed.
SELECT coalesce(bool_and(pg_try_advisory_xact_lock(:pages, CAST(id AS integer))), true)
FROM models
WHERE task_id = :task_id AND id <> :model_id

-- enqueue_backfill_chunk
-- Enqueue the articles of the next chunk, by id, that the model has not labelled. Returns the last id examined, null if
-- there are no further articles, and the number of enqueued articles. An article that is in the queue in this snapshot
-- either waits or is on a page of this model, which deletes and labels it in one commit. OFFSET 0: each article is
-- looked up by the indexes; with joins, the planner may read the whole history.
WITH chunk AS MATERIALIZED (
    SELECT id, revision FROM articles WHERE id > :after ORDER BY id LIMIT :size
), missing AS (
    INSERT INTO labelling_queue (article_id, task_id, priority)
    SELECT id, :task_id, 1
    FROM chunk
    WHERE NOT EXISTS (SELECT FROM labelling_queue WHERE article_id = id AND task_id = :task_id OFFSET 0)
      AND NOT EXISTS (
        SELECT FROM annotations_in_force WHERE article_id = chunk.id AND task_id = :task_id OFFSET 0
      )
      AND NOT EXISTS (
        SELECT FROM predictions
        WHERE article_id = id AND model_id = :model_id AND predictions.revision = chunk.revision
        OFFSET 0
      )
      AND NOT EXISTS (
        SELECT FROM dead_letters
        WHERE article_id = id AND model_id = :model_id AND dead_letters.revision = chunk.revision
        OFFSET 0
      )
    ORDER BY id
    ON CONFLICT (article_id, task_id) DO NOTHING
    RETURNING article_id
)
SELECT (SELECT max(id) FROM chunk) AS last, (SELECT count(*) FROM missing) AS enqueued

-- labelling_rate
-- Count the newest predictions, without the first page of them, and the seconds since that page. All predictions of a
-- page have one time.
WITH newest AS (
    SELECT predicted_at
    FROM predictions
    JOIN models ON models.id = model_id AND task_id = :task_id
    WHERE predicted_at > now() - make_interval(mins => :minutes)
    ORDER BY predicted_at DESC
    LIMIT :max_predictions
), span AS (
    SELECT min(predicted_at) AS began, max(predicted_at) AS ended FROM newest
)
SELECT count(*) AS labelled, coalesce(extract(epoch FROM max(ended) - max(began)), 0) AS seconds
FROM newest, span
WHERE predicted_at > began

-- remaining_backfill
-- Estimate how many articles the champion's backfill has not examined yet: by ids, as if none were missing.
SELECT greatest(0, coalesce((SELECT max(id) FROM articles), 0) - models.backfilled_to) AS articles
FROM models
WHERE task_id = :task_id AND status = 'champion' AND backfilled_to IS NOT NULL

-- dequeue_labelled
-- Delete from the next chunk of the queue the articles that the champion has labelled already. Only backfill rows are
-- deleted: a changed text raises a row's priority, which is checked again on the locked row. Returns the last id
-- examined, or null if there are no further rows. OFFSET 0: each row is looked up by the indexes.
WITH chunk AS MATERIALIZED (
    SELECT article_id FROM labelling_queue
    WHERE task_id = :task_id AND priority = 1 AND article_id > :after
    ORDER BY article_id
    LIMIT :size
), labelled AS MATERIALIZED (
    SELECT article_id
    FROM chunk
    WHERE EXISTS (
        SELECT FROM predictions
        WHERE predictions.article_id = chunk.article_id
          AND predictions.model_id = :model_id
          AND predictions.revision = (SELECT revision FROM articles WHERE articles.id = chunk.article_id)
        OFFSET 0
    )
), locked AS MATERIALIZED (
    SELECT article_id
    FROM labelling_queue
    WHERE task_id = :task_id AND priority = 1 AND article_id = ANY(ARRAY(SELECT article_id FROM labelled))
    FOR UPDATE SKIP LOCKED
), dropped AS (
    DELETE FROM labelling_queue
    WHERE task_id = :task_id AND article_id = ANY(ARRAY(SELECT article_id FROM locked))
)
SELECT max(article_id) FROM chunk
