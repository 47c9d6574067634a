-- task_statistics
-- Return of each task the number of its categories, of its models, of the articles that wait for its label, and the
-- name of its champion.
SELECT
    tasks.id AS task_id, coalesce(named.categories, 0) AS categories, coalesce(registered.models, 0) AS models,
    coalesce(queued.waiting, 0) AS waiting, champion
FROM tasks
LEFT JOIN (
    SELECT task_id, count(DISTINCT coalesce(present_name, name)) AS categories
    FROM categories
    WHERE state = 'active'
    GROUP BY task_id
) AS named
    ON named.task_id = tasks.id
LEFT JOIN (
    SELECT task_id, count(*) AS models, max(name) FILTER (WHERE status = 'champion') AS champion
    FROM models
    GROUP BY task_id
) AS registered
    ON registered.task_id = tasks.id
LEFT JOIN (SELECT task_id, count(*) AS waiting FROM labelling_queue GROUP BY task_id) AS queued
    ON queued.task_id = tasks.id

-- add_categories
-- Add the categories that a task does not have yet.
INSERT INTO categories (task_id, name)
SELECT :task_id, name FROM unnest(CAST(:names AS text[])) AS names (name)
ORDER BY name
ON CONFLICT DO NOTHING

-- lock_categories
-- Prevent new annotations until the transaction ends: each inserts its categories in the same statement.
LOCK TABLE categories IN SHARE ROW EXCLUSIVE MODE

-- delete_unused_categories
-- Delete the categories that no annotation has any more, and no change names. EXCEPT: all annotations are read once, not
-- for each category.
WITH unused AS MATERIALIZED (
    SELECT task_id, name FROM categories
    EXCEPT
    SELECT task_id, name FROM annotations CROSS JOIN unnest(categories) AS name WHERE retracted_at IS NULL
    EXCEPT
    SELECT task_id, name FROM category_changes CROSS JOIN unnest(names || targets) AS name
)
DELETE FROM categories USING unused WHERE categories.task_id = unused.task_id AND categories.name = unused.name
