-- articles_of_run
-- Return the articles that an ingest run inserted.
SELECT id FROM articles WHERE run_id = :run_id ORDER BY id

-- lock_articles
-- Lock articles, so that they are neither changed nor annotated until the transaction ends.
SELECT id FROM articles WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR UPDATE

-- newer_on_articles
-- Count what was built on these articles after the run that inserted them: people's annotations, and the texts and
-- sources' annotations that later runs brought.
SELECT
    (
        SELECT count(*) FROM annotations
        WHERE article_id = ANY(CAST(:ids AS bigint[])) AND annotator NOT LIKE 'source:%' AND retracted_at IS NULL
    ) AS annotations_by_people,
    (
        SELECT count(*) FROM articles WHERE id = ANY(CAST(:ids AS bigint[])) AND changed_run_id > :run_id
    ) AS changed_by_later_runs,
    (
        SELECT count(*) FROM annotations
        WHERE article_id = ANY(CAST(:ids AS bigint[])) AND run_id > :run_id AND retracted_at IS NULL
    ) AS annotated_by_later_runs

-- articles_changed_by_run
-- Return the articles of other runs whose texts this run changed.
SELECT id, source, external_id
FROM articles
WHERE changed_run_id = :run_id AND run_id IS DISTINCT FROM :run_id
ORDER BY id

-- annotations_of_run
-- Return the annotations that a run added to texts of other runs.
SELECT annotations.id, annotations.article_id, annotations.task_id
FROM annotations
JOIN articles ON articles.id = annotations.article_id
WHERE annotations.run_id = :run_id
  AND articles.run_id IS DISTINCT FROM :run_id
  AND articles.changed_run_id IS DISTINCT FROM :run_id
ORDER BY annotations.id

-- delete_annotations
-- Delete annotations.
DELETE FROM annotations WHERE id = ANY(CAST(:ids AS bigint[]))

-- delete_rejected_rows_of_run
-- Delete the rejected rows of a run.
DELETE FROM rejected_rows WHERE run_id = :run_id

-- enqueue_unannotated
-- Enqueue articles for tasks, from arrays with one entry a pair, where no annotation is in force any more.
INSERT INTO labelling_queue (article_id, task_id, priority)
SELECT DISTINCT article_id, task_id, 0
FROM unnest(CAST(:ids AS bigint[]), CAST(:tasks AS bigint[])) AS pairs (article_id, task_id)
JOIN tasks ON tasks.id = task_id AND archived_at IS NULL
WHERE NOT EXISTS (
    SELECT FROM annotations_in_force AS own
    WHERE own.article_id = pairs.article_id AND own.task_id = pairs.task_id
    OFFSET 0
)
ORDER BY article_id, task_id
ON CONFLICT (article_id, task_id) DO NOTHING

-- retract_annotations
-- Retract annotations that were not retracted.
UPDATE annotations
SET retracted_at = now(), retracted_by = :retracted_by
WHERE id = ANY(CAST(:ids AS bigint[])) AND retracted_at IS NULL
RETURNING article_id, task_id
