-- annotations_in_force
-- The annotations that hold for their article's present text.
CREATE VIEW annotations_in_force AS
SELECT
    annotations.id, annotations.article_id, annotations.revision, annotations.category, annotations.annotator,
    annotations.annotated_at, annotations.comment, annotations.is_resolution
FROM annotations
LEFT JOIN articles AS replaced
    ON replaced.id = annotations.article_id
    AND replaced.content_revision > annotations.revision
    AND replaced.content_revision > 1
WHERE replaced.id IS NULL;
COMMENT ON VIEW annotations_in_force IS 'Annotations that hold for their article''s present text'

-- effective_annotations
-- Of several annotations in force, a person's counts before a source's, and the newest before older ones.
CREATE VIEW effective_annotations AS
SELECT DISTINCT ON (article_id) article_id, revision, category, annotator, annotated_at
FROM annotations_in_force
ORDER BY article_id, annotator LIKE 'source:%', id DESC;
COMMENT ON VIEW effective_annotations IS
    'The annotation that counts for each article: a person''s before a source''s, then the newest'

-- annotation_opinions
-- A resolution supersedes what people annotated before it.
CREATE VIEW annotation_opinions AS
SELECT DISTINCT ON (article_id, annotator) article_id, annotator, category, comment, annotated_at
FROM (
    SELECT
        id, article_id, annotator, category, comment, annotated_at,
        max(id) FILTER (WHERE is_resolution) OVER (PARTITION BY article_id) AS resolution
    FROM annotations_in_force
    WHERE annotator NOT LIKE 'source:%'
) AS by_people
WHERE id >= coalesce(resolution, 0)
ORDER BY article_id, annotator, id DESC;
COMMENT ON VIEW annotation_opinions IS
    'Each person''s last annotation of an article''s present text, since the last resolution'

-- annotation_conflicts
-- Only articles that have two different annotations by people are examined closely.
CREATE VIEW annotation_conflicts AS
SELECT suspects.article_id
FROM (
    SELECT article_id
    FROM annotations_in_force
    WHERE annotator NOT LIKE 'source:%'
    GROUP BY article_id
    HAVING min(category) <> max(category)
) AS suspects
WHERE (
    SELECT min(opinions.category) <> max(opinions.category)
    FROM annotation_opinions AS opinions
    WHERE opinions.article_id = suspects.article_id
);
COMMENT ON VIEW annotation_conflicts IS 'Articles whose annotators disagree; excluded from training and evaluation'

-- article_labels
-- OFFSET 0: the annotation of each article is looked up by the index.
CREATE VIEW article_labels AS
SELECT
    articles.id AS article_id,
    articles.source,
    articles.external_id,
    coalesce(annotated.category, predicted.category) AS label,
    CASE
        WHEN annotated.category IS NOT NULL THEN 'annotation'
        WHEN predicted.category IS NOT NULL THEN 'prediction'
    END AS origin,
    CASE WHEN annotated.category IS NULL THEN predicted.confidence END AS confidence,
    coalesce(annotated.annotated_at, predicted.predicted_at) AS labelled_at,
    CASE WHEN annotated.category IS NULL THEN predicted.model END AS model,
    articles.split,
    articles.published_at,
    CASE
        WHEN annotated.category IS NOT NULL THEN false
        ELSE predicted.confidence < coalesce(predicted.threshold, 0)
    END AS abstained
FROM articles
LEFT JOIN LATERAL (
    SELECT category, annotated_at
    FROM effective_annotations AS counts WHERE counts.article_id = articles.id OFFSET 0
) AS annotated ON true
LEFT JOIN (
    SELECT predictions.*, models.name AS model, models.threshold
    FROM predictions
    JOIN models ON models.id = predictions.model_id AND models.status = 'champion'
) AS predicted ON predicted.article_id = articles.id AND predicted.revision = articles.revision;
COMMENT ON VIEW article_labels IS
    'An article''s label: the annotation that counts, else the champion''s prediction on the present text'

-- text_clusters
-- A text belongs to the cluster that gave it its split, and to further ones if it is near texts of several.
CREATE VIEW text_clusters AS
SELECT fingerprint, cluster_id FROM splits WHERE cluster_id IS NOT NULL
UNION ALL
SELECT fingerprint, cluster_id FROM cluster_bridges;
COMMENT ON VIEW text_clusters IS 'Every cluster of near-duplicates that a text belongs to'
