-- lock_taxonomy
-- Lock the changes of a task's categories until the transaction ends; readers and annotators are not blocked.
SELECT FROM tasks WHERE id = :task_id FOR NO KEY UPDATE

-- category_changes
-- Return the changes of a task's categories in their order.
SELECT id, kind, names, targets, description, reason, changed_by, changed_at
FROM category_changes
WHERE task_id = :task_id
ORDER BY id

-- store_taxonomy
-- Store what the recorded names of a task's categories mean, for the views.
UPDATE tasks
SET former_names = :former_names, present_names = :present_names, merged_names = :merged_names,
    split_names = :split_names, retired_names = :retired_names, child_names = :child_names, parent_names = :parent_names
WHERE id = :task_id

-- store_category_states
-- Store the present name, the state, the description and the path of all categories of a task, from arrays with one
-- entry a recorded name.
INSERT INTO categories AS stored (task_id, name, present_name, state, description, path)
SELECT
    :task_id, name, nullif(present_name, name), state, description,
    CASE WHEN path <> '' THEN ARRAY(SELECT jsonb_array_elements_text(CAST(path AS jsonb))) END
FROM unnest(
    CAST(:names AS text[]), CAST(:present_names AS text[]), CAST(:states AS text[]), CAST(:descriptions AS text[]),
    CAST(:paths AS text[])
) AS input_rows (name, present_name, state, description, path)
ORDER BY name
ON CONFLICT (task_id, name) DO UPDATE
SET present_name = excluded.present_name, state = excluded.state, description = excluded.description, path = excluded.path
WHERE (stored.present_name, stored.state, stored.description, stored.path)
    IS DISTINCT FROM (excluded.present_name, excluded.state, excluded.description, excluded.path)

-- recorded_categories
-- Return the names of a task's categories as annotations, changes and models have recorded them. A pruned model does
-- not count.
SELECT name FROM categories WHERE task_id = :task_id
UNION
SELECT recorded FROM models CROSS JOIN unnest(categories) AS recorded WHERE task_id = :task_id AND status <> 'pruned'
ORDER BY name

-- annotation_counts_by_category
-- Count the articles of a task by the present categories of the annotation that counts, and by split.
SELECT category AS name, articles.split, count(*) AS articles
FROM effective_annotations
JOIN articles ON articles.id = article_id
CROSS JOIN unnest(categories) AS category
WHERE task_id = :task_id
GROUP BY category, articles.split

-- annotations_of_categories
-- Count the articles of a task with an annotation of one of these recorded categories, by who annotated: people or
-- sources. Retracted annotations do not count.
SELECT count(DISTINCT article_id) AS articles, count(DISTINCT article_id) FILTER (WHERE annotator NOT LIKE 'source:%') AS by_people
FROM annotations
WHERE task_id = :task_id AND retracted_at IS NULL AND categories && CAST(:names AS text[])

-- labels_of_categories
-- Estimate how many of the champion's predictions have one of these recorded categories, from a share of the table's
-- blocks.
SELECT count(*) AS labels
FROM predictions TABLESAMPLE SYSTEM (:percent)
JOIN models ON models.id = model_id AND status = 'champion' AND task_id = :task_id
WHERE EXISTS (
    SELECT FROM unnest(category_indices) AS position WHERE models.categories[position] = ANY(CAST(:names AS text[]))
)

-- enqueue_split_articles
-- Enqueue the articles whose annotation has a category that was split and is in force no longer, so that the champion
-- labels them. An article that waits already keeps its place.
INSERT INTO labelling_queue (article_id, task_id, priority)
SELECT article_id, :task_id, 1
FROM annotations_before_split
WHERE task_id = :task_id
  AND NOT EXISTS (
    SELECT FROM annotations_in_force AS own
    WHERE own.article_id = annotations_before_split.article_id AND own.task_id = :task_id
    OFFSET 0
  )
ORDER BY article_id
ON CONFLICT (article_id, task_id) DO NOTHING

-- dequeue_annotated_articles
-- Delete from the queue the articles whose annotation is in force again after a split was undone. Rows that a worker
-- holds are skipped: it labels them, and the annotation counts.
DELETE FROM labelling_queue
WHERE task_id = :task_id AND article_id = ANY(ARRAY(
    SELECT article_id
    FROM labelling_queue AS waiting
    WHERE task_id = :task_id
      AND EXISTS (
        SELECT FROM annotations_in_force AS own
        WHERE own.article_id = waiting.article_id AND own.task_id = :task_id
        OFFSET 0
      )
    FOR UPDATE SKIP LOCKED
))

-- forget_unused_names
-- Delete those of the names that no annotation has: those of a change that was taken back. All annotations are read once.
DELETE FROM categories
WHERE task_id = :task_id
  AND name = ANY(CAST(:names AS text[]))
  AND name <> ALL(ARRAY(
    SELECT DISTINCT used
    FROM annotations
    CROSS JOIN unnest(annotations.categories) AS used
    WHERE annotations.task_id = :task_id AND retracted_at IS NULL AND annotations.categories && CAST(:names AS text[])
  ))
