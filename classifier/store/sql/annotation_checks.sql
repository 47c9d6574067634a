-- annotated_sample
-- Return up to :size annotated articles of a split, drawn by a hash of their ids and a seed, with the annotation that
-- counts, and the number of all of them. The same articles are excluded as by annotated_articles: those whose annotators
-- disagree, those whose text, or a near-duplicate of it, occurs in a protected split, and those of a retired category. No
-- text is read. Articles of retired categories are excluded before the sample is drawn; if none is retired, nothing is
-- read for that.
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
    EXCEPT
    SELECT retired.article_id
    FROM tasks
    CROSS JOIN LATERAL (
        SELECT DISTINCT article_id
        FROM annotations_in_force
        WHERE task_id = :task_id AND categories && tasks.retired_names
        OFFSET 0
    ) AS retired
    CROSS JOIN LATERAL (
        SELECT categories FROM effective_annotations
        WHERE article_id = retired.article_id AND task_id = :task_id
        OFFSET 0
    ) AS annotated
    WHERE tasks.id = :task_id AND kind = 'single' AND cardinality(tasks.retired_names) > 0
      AND annotated.categories && tasks.retired_names
), drawn AS MATERIALIZED (
    SELECT id, count(*) OVER () AS total FROM chosen ORDER BY hashint8extended(id, :seed) LIMIT :size
)
SELECT
    drawn.id, drawn.total, article.source, article.external_id, article.revision,
    CASE
        WHEN annotated.categories && tasks.retired_names
        THEN ARRAY(SELECT name FROM unnest(annotated.categories) AS name WHERE name <> ALL(tasks.retired_names))
        ELSE annotated.categories
    END AS categories,
    annotated.annotator
FROM drawn
JOIN tasks ON tasks.id = :task_id
CROSS JOIN LATERAL (
    SELECT source, external_id, revision FROM articles WHERE articles.id = drawn.id OFFSET 0
) AS article
CROSS JOIN LATERAL (
    SELECT categories, annotator FROM effective_annotations WHERE article_id = drawn.id AND task_id = :task_id OFFSET 0
) AS annotated
ORDER BY drawn.id

-- stored_predictions
-- Return what a model predicted for the present texts of these articles. OFFSET 0: each is looked up by the indexes.
SELECT requested.id, predicted.category_indices, predicted.confidence, predicted.probabilities
FROM unnest(CAST(:ids AS bigint[])) AS requested (id)
CROSS JOIN LATERAL (
    SELECT category_indices, confidence, probabilities
    FROM predictions
    WHERE article_id = requested.id
      AND model_id = :model_id
      AND revision = (SELECT revision FROM articles WHERE articles.id = requested.id)
    OFFSET 0
) AS predicted

-- checked_annotations
-- Return the articles whose annotation was to be checked, by split and reason: the categories of a person's annotation
-- that counts today, and the recorded ones of the source's annotation when the article was last queued. Null: there is
-- none. OFFSET 0: annotations are looked up by the index.
WITH asked AS MATERIALIZED (
    SELECT article_id, reason, max(queued_at) AS queued_at
    FROM review_queue
    JOIN models ON models.id = model_id
    WHERE task_id = :task_id AND reason IN ('doubtful', 'control')
    GROUP BY article_id, reason
)
SELECT article.split, asked.reason, by_person.categories AS by_person, doubted.categories AS doubted
FROM asked
CROSS JOIN LATERAL (SELECT split FROM articles WHERE id = asked.article_id OFFSET 0) AS article
LEFT JOIN LATERAL (
    SELECT categories FROM effective_annotations
    WHERE article_id = asked.article_id AND task_id = :task_id AND annotator NOT LIKE 'source:%'
    OFFSET 0
) AS by_person ON true
LEFT JOIN LATERAL (
    SELECT categories FROM annotations
    WHERE article_id = asked.article_id
      AND task_id = :task_id
      AND annotator LIKE 'source:%'
      AND annotated_at <= asked.queued_at
      AND (retracted_at IS NULL OR retracted_at > asked.queued_at)
    ORDER BY id DESC
    LIMIT 1
) AS doubted ON true
ORDER BY article.split, asked.reason
