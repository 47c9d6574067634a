-- articles_to_relabel
-- Of these articles those that the champion has labelled as they are, with its category. OFFSET 0: each is looked up
-- by the indexes.
SELECT articles.id, articles.text, predicted.category
FROM articles
CROSS JOIN LATERAL (
    SELECT category FROM predictions
    WHERE predictions.article_id = articles.id
      AND predictions.model_id = :model_id
      AND predictions.revision = articles.revision
    OFFSET 0
) AS predicted
WHERE articles.id = ANY(:ids)
  AND NOT EXISTS (SELECT FROM annotations_in_force WHERE article_id = articles.id OFFSET 0)
ORDER BY articles.id

-- articles_to_label
-- Of these articles those that have no annotation in force.
SELECT articles.id, articles.text
FROM articles
WHERE articles.id = ANY(:ids)
  AND NOT EXISTS (SELECT FROM annotations_in_force WHERE article_id = articles.id OFFSET 0)
ORDER BY articles.id

-- count_to_label
-- How many articles a new champion has to label, from which id to which.
SELECT count(*) AS articles, min(id) AS first, max(id) AS last
FROM articles
WHERE NOT EXISTS (SELECT FROM annotations_in_force WHERE article_id = articles.id)
