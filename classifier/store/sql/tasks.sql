-- task_statistics
-- Return of each task the number of its categories, of its models, of the articles that wait for its label, and the
-- name of its champion.
SELECT
    id AS task_id,
    (SELECT count(*) FROM categories WHERE task_id = tasks.id) AS categories,
    (SELECT count(*) FROM models WHERE task_id = tasks.id) AS models,
    (SELECT count(*) FROM labelling_queue WHERE task_id = tasks.id) AS waiting,
    (SELECT name FROM models WHERE task_id = tasks.id AND status = 'champion') AS champion
FROM tasks

-- remember_categories
-- Add the categories that a task does not have yet.
INSERT INTO categories (task_id, name)
SELECT :task_id, name FROM unnest(CAST(:names AS text[])) AS names (name)
ORDER BY name
ON CONFLICT DO NOTHING

-- forget_unused_categories
-- Delete the categories that no annotation has any more.
DELETE FROM categories
WHERE NOT EXISTS (
    SELECT FROM annotations
    WHERE annotations.task_id = categories.task_id AND categories.name = ANY(annotations.categories)
      AND retracted_at IS NULL
)
