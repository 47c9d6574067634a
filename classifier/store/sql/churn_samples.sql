-- articles_to_relabel
-- Return those of the articles that the champion has labelled with their present text, with its labels.
-- OFFSET 0: each article is looked up by the indexes.
SELECT articles.id, articles.title, articles.text, predicted.labels
FROM articles
CROSS JOIN LATERAL (
    SELECT labels FROM predicted_labels
    WHERE predicted_labels.article_id = articles.id
      AND predicted_labels.model_id = :model_id
      AND predicted_labels.revision = articles.revision
    OFFSET 0
) AS predicted
WHERE articles.id = ANY(:ids)
  AND NOT EXISTS (
    SELECT FROM annotations_in_force WHERE article_id = articles.id AND task_id = :task_id OFFSET 0
  )
ORDER BY articles.id

-- articles_to_label
-- Return those of the articles that have no annotation in force.
SELECT articles.id, articles.title, articles.text
FROM articles
WHERE articles.id = ANY(:ids)
  AND NOT EXISTS (
    SELECT FROM annotations_in_force WHERE article_id = articles.id AND task_id = :task_id OFFSET 0
  )
ORDER BY articles.id

-- count_to_label
-- Count the articles that a new champion has to label, with their first and last id.
SELECT count(*) AS articles, min(id) AS first, max(id) AS last
FROM articles
WHERE NOT EXISTS (SELECT FROM annotations_in_force WHERE article_id = articles.id AND task_id = :task_id)
