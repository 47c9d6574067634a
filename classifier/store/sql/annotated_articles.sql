-- annotated_articles
-- The articles of a split with the annotation that counts. What people disagree on is left out. So is an article that
-- repeats, or nearly repeats, one of a split that is kept from this one: what is tested on is never trained on, even
-- where a source brought its own splits with repeats across them. By fingerprint also, for articles that were there
-- before there were clusters. Set operations and OFFSET 0: sets are hashed or sorted, and rows are looked up by indexes.
-- As an anti-join with a list, the planner may read the list once for each article, which takes hours.
WITH kept AS MATERIALIZED (
    SELECT cluster_id
    FROM annotations
    JOIN articles ON articles.id = article_id
    JOIN text_clusters USING (fingerprint)
    WHERE split = :split
    INTERSECT
    (
        SELECT id FROM clusters WHERE split = ANY(:protected_splits)
        UNION
        SELECT cluster_id FROM articles JOIN text_clusters USING (fingerprint) WHERE split = ANY(:protected_splits)
    )
), chosen AS MATERIALIZED (
    SELECT articles.id FROM annotations_in_force JOIN articles ON articles.id = article_id WHERE split = :split
    EXCEPT
    SELECT article_id FROM annotation_conflicts
    EXCEPT
    SELECT same.id
    FROM articles AS held
    JOIN articles AS same USING (fingerprint)
    WHERE held.split = ANY(:protected_splits) AND same.split = :split
    EXCEPT
    SELECT twin.id
    FROM kept
    CROSS JOIN LATERAL (SELECT fingerprint FROM text_clusters WHERE cluster_id = kept.cluster_id OFFSET 0) AS near
    CROSS JOIN LATERAL (
        SELECT id FROM articles WHERE articles.fingerprint = near.fingerprint AND split = :split OFFSET 0
    ) AS twin
)
SELECT articles.id, articles.text, articles.text_hash, annotated.category
FROM chosen
JOIN articles ON articles.id = chosen.id
CROSS JOIN LATERAL (
    SELECT category FROM effective_annotations WHERE article_id = chosen.id OFFSET 0
) AS annotated
ORDER BY articles.id

-- annotated_article_counts
-- How many articles each split has of each category, by the annotation that counts; null: not annotated.
SELECT annotated.category, articles.split, count(*)
FROM articles
LEFT JOIN effective_annotations AS annotated ON annotated.article_id = articles.id
GROUP BY annotated.category, articles.split
