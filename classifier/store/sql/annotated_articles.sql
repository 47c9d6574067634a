-- annotated_articles
-- Return the articles of a split with the annotation that counts. Articles whose annotators disagree are excluded. So
-- are articles whose text, or a near-duplicate of it, occurs in a protected split: test texts are never trained on,
-- even if a source brought its own splits with duplicates across them. Texts are compared by fingerprint too, for
-- articles that are not clustered yet. A retired category does not count: an article of a single-label task that has it
-- is excluded. Set operations and OFFSET 0: sets are hashed or sorted, and rows are looked up by indexes. With an
-- anti-join, the planner may read the whole list once for each article.
WITH protected_clusters AS MATERIALIZED (
    SELECT cluster_id
    FROM annotations
    JOIN articles ON articles.id = article_id
    JOIN text_clusters USING (fingerprint)
    WHERE task_id = :task_id AND split = :split
    INTERSECT
    (
        SELECT id FROM clusters WHERE split = ANY(:protected_splits)
        UNION
        SELECT cluster_id FROM articles JOIN text_clusters USING (fingerprint) WHERE split = ANY(:protected_splits)
    )
), chosen AS MATERIALIZED (
    SELECT articles.id
    FROM annotations_in_force
    JOIN articles ON articles.id = article_id
    WHERE task_id = :task_id AND split = :split
    EXCEPT
    SELECT article_id FROM annotation_conflicts WHERE task_id = :task_id
    EXCEPT
    SELECT same.id
    FROM articles AS protected
    JOIN articles AS same USING (fingerprint)
    WHERE protected.split = ANY(:protected_splits) AND same.split = :split
    EXCEPT
    SELECT near_duplicate.id
    FROM protected_clusters
    CROSS JOIN LATERAL (
        SELECT fingerprint FROM text_clusters WHERE cluster_id = protected_clusters.cluster_id OFFSET 0
    ) AS near
    CROSS JOIN LATERAL (
        SELECT id FROM articles WHERE articles.fingerprint = near.fingerprint AND split = :split OFFSET 0
    ) AS near_duplicate
)
SELECT
    articles.id, articles.title, articles.text, articles.text_hash,
    CASE
        WHEN annotated.categories && tasks.retired_names
        THEN ARRAY(SELECT name FROM unnest(annotated.categories) AS name WHERE name <> ALL(tasks.retired_names))
        ELSE annotated.categories
    END AS categories
FROM chosen
JOIN articles ON articles.id = chosen.id
JOIN tasks ON tasks.id = :task_id
CROSS JOIN LATERAL (
    SELECT categories FROM effective_annotations WHERE article_id = chosen.id AND task_id = :task_id OFFSET 0
) AS annotated
WHERE tasks.kind = 'multi' OR NOT annotated.categories && tasks.retired_names
ORDER BY articles.id

-- annotated_article_counts
-- Count the articles of each split by the categories of the annotation that counts. Null: not annotated; an empty text:
-- annotated with no category.
SELECT category, articles.split, count(*)
FROM articles
LEFT JOIN effective_annotations AS annotated ON annotated.article_id = articles.id AND annotated.task_id = :task_id
LEFT JOIN LATERAL unnest(
    CASE WHEN cardinality(annotated.categories) = 0 THEN ARRAY[''] ELSE annotated.categories END
) AS category ON true
GROUP BY category, articles.split

-- annotated_article_totals
-- Count the articles of each split, and those of them that are annotated, however many categories they have.
SELECT articles.split, count(*), count(annotated.task_id)
FROM articles
LEFT JOIN effective_annotations AS annotated ON annotated.article_id = articles.id AND annotated.task_id = :task_id
GROUP BY articles.split

-- uncovered_categories
-- Return the annotated categories without a train article, and those that the champion does not know, with the number
-- of their articles. One pass over all annotations finds them; only their own articles are looked up.
WITH champion AS MATERIALIZED (
    SELECT category
    FROM models
    JOIN tasks ON tasks.id = :task_id
    CROSS JOIN unnest(present_categories(categories, former_names, present_names)) AS category
    WHERE task_id = :task_id AND status = 'champion'
), annotated AS MATERIALIZED (
    SELECT category, bool_or(split = 'train') AS has_train_articles
    FROM annotations_in_force
    CROSS JOIN unnest(categories) AS category
    JOIN articles ON articles.id = article_id
    WHERE task_id = :task_id AND category <> ALL((SELECT retired_names FROM tasks WHERE id = :task_id)::text[])
    GROUP BY category
), uncovered AS MATERIALIZED (
    SELECT
        annotated.category, has_train_articles,
        CASE WHEN EXISTS (SELECT FROM champion) THEN champion.category IS NOT NULL END AS champion_knows
    FROM annotated
    LEFT JOIN champion USING (category)
    WHERE NOT has_train_articles OR (champion.category IS NULL AND EXISTS (SELECT FROM champion))
)
SELECT uncovered.category AS name, has_train_articles, champion_knows, count(DISTINCT article_id) AS articles
FROM uncovered
JOIN (
    SELECT article_id, category
    FROM annotations_in_force
    CROSS JOIN unnest(categories) AS category
    WHERE task_id = :task_id
) AS annotations USING (category)
CROSS JOIN LATERAL (
    SELECT effective.categories FROM effective_annotations AS effective
    WHERE effective.article_id = annotations.article_id AND effective.task_id = :task_id OFFSET 0
) AS counts
WHERE uncovered.category = ANY(counts.categories)
GROUP BY uncovered.category, has_train_articles, champion_knows
ORDER BY articles DESC, name

-- newest_annotated_texts
-- Return the beginnings of the texts that were annotated last with each of these categories, with the annotation that
-- counts, unless a person is asked to check it. A fixed number of annotations is read by the primary key, from the
-- newest on, so the cost does not grow with the table. OFFSET 0: each article is looked up by the indexes.
WITH recent AS MATERIALIZED (
    SELECT
        annotations.id, article_id,
        CASE
            WHEN cardinality(former_names) = 0 THEN categories
            ELSE present_categories(categories, former_names, present_names)
        END AS categories
    FROM (SELECT * FROM annotations ORDER BY id DESC LIMIT :examined) AS annotations
    JOIN tasks ON tasks.id = task_id
    WHERE task_id = :task_id
), ranked AS MATERIALIZED (
    SELECT article_id, row_number() OVER (PARTITION BY category ORDER BY recent.id DESC) AS position
    FROM recent
    CROSS JOIN unnest(categories) AS category
    WHERE categories && CAST(:categories AS text[])
      AND category = ANY(CAST(:categories AS text[]))
      AND article_id IS DISTINCT FROM CAST(:without AS bigint)
), chosen AS MATERIALIZED (
    SELECT DISTINCT article_id FROM ranked WHERE position <= :per_category
)
SELECT article.*, annotated.categories
FROM chosen
CROSS JOIN LATERAL (
    SELECT id, source, external_id, title, url, revision, left(text, :characters) AS text
    FROM articles
    WHERE id = chosen.article_id AND split <> 'test'
    OFFSET 0
) AS article
CROSS JOIN LATERAL (
    SELECT categories, annotator
    FROM effective_annotations
    WHERE article_id = chosen.article_id AND task_id = :task_id
    OFFSET 0
) AS annotated
WHERE annotated.categories && CAST(:categories AS text[])
  AND NOT EXISTS (
    SELECT FROM annotation_conflicts WHERE article_id = chosen.article_id AND task_id = :task_id OFFSET 0
  )
  AND (annotated.annotator NOT LIKE 'source:%' OR NOT EXISTS (
    SELECT FROM review_queue
    WHERE review_queue.article_id = chosen.article_id
      AND review_queue.model_id = (SELECT id FROM models WHERE task_id = :task_id AND status = 'champion')
      AND review_queue.revision = article.revision
      AND reason IN ('doubtful', 'control')
    OFFSET 0
  ))
ORDER BY article.id DESC
