-- review_candidates
-- In a share of the table's blocks, return the articles that the model has labelled with their present text, and
-- whether it may choose them for review. Only articles of the train split may be chosen, so that test articles are not
-- selected by a model. OFFSET 0: each article is looked up by the indexes; with joins, the planner may read all
-- predictions.
SELECT
    articles.id, articles.revision, predicted.category_indices, predicted.confidence, predicted.probabilities,
    (SELECT min(cluster_id) FROM text_clusters WHERE text_clusters.fingerprint = articles.fingerprint) AS cluster_id,
    articles.split = 'train'
    AND NOT EXISTS (
        SELECT FROM annotations_in_force WHERE article_id = articles.id AND task_id = :task_id OFFSET 0
    )
    AND NOT EXISTS (
        SELECT FROM review_queue
        WHERE review_queue.article_id = articles.id
          AND review_queue.model_id = :model_id
          AND review_queue.revision = articles.revision
          AND reason <> 'audit'
        OFFSET 0
    ) AS choosable
FROM articles TABLESAMPLE SYSTEM (:percent)
CROSS JOIN LATERAL (
    SELECT category_indices, confidence, probabilities
    FROM predictions
    WHERE predictions.article_id = articles.id
      AND predictions.model_id = :model_id
      AND predictions.revision = articles.revision
    OFFSET 0
) AS predicted
ORDER BY articles.id

-- review_candidate_texts
-- Return the titles and texts of these articles, except those with a near-duplicate that is annotated, waits for review, or is not
-- in the train split. A text is its own near-duplicate. OFFSET 0: each text is looked up by the indexes.
SELECT articles.id, articles.title, articles.text
FROM articles
WHERE articles.id = ANY(CAST(:ids AS bigint[]))
  AND NOT EXISTS (
    SELECT
    FROM text_clusters AS own
    JOIN clusters ON clusters.id = own.cluster_id
    CROSS JOIN LATERAL (
        SELECT fingerprint FROM text_clusters WHERE text_clusters.cluster_id = own.cluster_id OFFSET 0
    ) AS other
    CROSS JOIN LATERAL (
        SELECT id, split FROM articles AS same WHERE same.fingerprint = other.fingerprint OFFSET 0
    ) AS near_duplicate
    WHERE own.fingerprint = articles.fingerprint
      AND (
        clusters.split <> 'train'
        OR near_duplicate.split <> 'train'
        OR EXISTS (
            SELECT FROM annotations_in_force AS annotated
            WHERE annotated.article_id = near_duplicate.id AND annotated.task_id = :task_id
            OFFSET 0
        )
        OR EXISTS (
            SELECT FROM review_queue
            WHERE review_queue.article_id = near_duplicate.id AND model_id = :model_id AND reason <> 'audit'
            OFFSET 0
        )
      )
    OFFSET 0
  )
ORDER BY articles.id

-- rewritten_articles
-- Return articles that people annotated before their content changed, and that the model has labelled since. Articles
-- with an annotation in force, and articles that this model has queued already, are excluded. OFFSET 0: each article is
-- looked up by the indexes.
WITH rewritten AS MATERIALIZED (
    SELECT DISTINCT articles.id, articles.revision
    FROM annotations
    JOIN articles
        ON articles.id = annotations.article_id
        AND articles.content_revision > annotations.revision
        AND articles.content_revision > 1
    WHERE task_id = :task_id AND annotator NOT LIKE 'source:%' AND retracted_at IS NULL
)
SELECT id, rewritten.revision, predicted.category_indices, predicted.confidence
FROM rewritten
CROSS JOIN LATERAL (
    SELECT category_indices, confidence FROM predictions
    WHERE article_id = rewritten.id AND model_id = :model_id AND predictions.revision = rewritten.revision
    OFFSET 0
) AS predicted
WHERE NOT EXISTS (
    SELECT FROM annotations_in_force WHERE article_id = rewritten.id AND task_id = :task_id OFFSET 0
  )
  AND NOT EXISTS (
    SELECT FROM review_queue
    WHERE article_id = rewritten.id AND model_id = :model_id AND revision = rewritten.revision AND reason <> 'audit'
    OFFSET 0
  )
ORDER BY id
LIMIT :number

-- articles_before_split
-- Return articles whose annotation has a category that was split since, and that the model has labelled. Articles with
-- an annotation in force, and articles that this model has queued already, are excluded. OFFSET 0: each article is
-- looked up by the indexes.
WITH waiting AS MATERIALIZED (
    SELECT article_id FROM annotations_before_split WHERE task_id = :task_id
)
SELECT articles.id, articles.revision, predicted.category_indices, predicted.confidence
FROM waiting
JOIN articles ON articles.id = article_id
CROSS JOIN LATERAL (
    SELECT category_indices, confidence FROM predictions
    WHERE article_id = articles.id AND model_id = :model_id AND predictions.revision = articles.revision
    OFFSET 0
) AS predicted
WHERE NOT EXISTS (
    SELECT FROM annotations_in_force WHERE article_id = articles.id AND task_id = :task_id OFFSET 0
  )
  AND NOT EXISTS (
    SELECT FROM review_queue
    WHERE article_id = articles.id AND model_id = :model_id AND revision = articles.revision AND reason <> 'audit'
    OFFSET 0
  )
ORDER BY articles.id
LIMIT :number

-- enqueue_reviews
-- Insert reviews from arrays with one entry an article; the predicted categories are positions among the model's. They
-- are stored sorted, as those of annotations.
INSERT INTO review_queue (article_id, model_id, revision, reason, predicted_categories, confidence)
SELECT
    article_id, models.id, chosen.revision, reason,
    ARRAY(
        SELECT models.categories[CAST(position AS integer)]
        FROM jsonb_array_elements_text(positions) AS position
        ORDER BY models.categories[CAST(position AS integer)] COLLATE "C"
    ),
    confidence
FROM unnest(
    CAST(:ids AS bigint[]), CAST(:revisions AS integer[]), CAST(:reasons AS text[]), CAST(:positions AS jsonb[]),
    CAST(:confidences AS real[])
) AS chosen (article_id, revision, reason, positions, confidence)
JOIN models ON models.id = :model_id
JOIN articles ON articles.id = article_id
ORDER BY article_id
ON CONFLICT DO NOTHING

-- waiting_reviews
-- Return what waits in a model's review queue: articles with unchanged text and without an annotation in force. Those
-- whose annotation is checked wait until a person has annotated them. A stored prediction is that of today: merged
-- categories may have another winner.
SELECT
    article_id, revision, array_agg(reason ORDER BY reason) AS reasons,
    min(coalesce(
        predicted.labels, present_categories(predicted_categories, former_names, present_names)
    )) AS predicted_categories,
    min(coalesce(predicted.confidence, review_queue.confidence)) AS confidence
FROM review_queue
JOIN tasks ON tasks.id = :task_id
LEFT JOIN LATERAL (
    SELECT ARRAY(SELECT label FROM unnest(labels) AS label ORDER BY label COLLATE "C") AS labels, confidence
    FROM predicted_labels
    WHERE predicted_labels.article_id = review_queue.article_id
      AND predicted_labels.model_id = review_queue.model_id
      AND predicted_labels.revision = review_queue.revision
    OFFSET 0
) AS predicted ON true
WHERE model_id = :model_id
  AND revision = (SELECT revision FROM articles WHERE id = article_id)
  AND NOT EXISTS (
    SELECT FROM annotations_in_force AS own
    WHERE own.article_id = review_queue.article_id
      AND own.task_id = :task_id
      AND (reason NOT IN ('doubtful', 'control') OR own.annotator NOT LIKE 'source:%')
    OFFSET 0
  )
GROUP BY article_id, revision
ORDER BY min(queued_at), article_id

-- waiting_reasons
-- Return the reasons for which one article waits in a model's review queue, as in waiting_reviews.
SELECT reason
FROM review_queue
WHERE article_id = :article_id
  AND model_id = :model_id
  AND revision = (SELECT revision FROM articles WHERE id = :article_id)
  AND NOT EXISTS (
    SELECT FROM annotations_in_force AS own
    WHERE own.article_id = :article_id
      AND own.task_id = :task_id
      AND (reason NOT IN ('doubtful', 'control') OR own.annotator NOT LIKE 'source:%')
    OFFSET 0
  )
ORDER BY reason

-- queued_revisions
-- Return those of the articles that any model of the task has queued for review, with their present revision.
SELECT id, revision
FROM articles
WHERE id = ANY(CAST(:ids AS bigint[]))
  AND EXISTS (
    SELECT FROM review_queue JOIN models ON models.id = model_id
    WHERE review_queue.article_id = articles.id AND task_id = :task_id
    OFFSET 0
  )

-- known_categories
-- Return those of the names that are a category of an annotation, of a change or of a model.
SELECT requested.name
FROM unnest(CAST(:names AS text[])) AS requested (name)
WHERE EXISTS (SELECT FROM categories WHERE task_id = :task_id AND categories.name = requested.name)
   OR EXISTS (SELECT FROM models WHERE task_id = :task_id AND requested.name = ANY(models.categories))

-- categories_of_other_tasks
-- Return those of the names that are a category of an annotation or of a model of another task, with one such task.
SELECT requested.name, min(tasks.name) AS task
FROM unnest(CAST(:names AS text[])) AS requested (name)
JOIN tasks
    ON tasks.id <> :task_id AND tasks.archived_at IS NULL
    AND (
        EXISTS (SELECT FROM categories WHERE task_id = tasks.id AND categories.name = requested.name)
        OR EXISTS (SELECT FROM models WHERE task_id = tasks.id AND requested.name = ANY(models.categories))
    )
GROUP BY requested.name

-- insert_annotations
-- Insert annotations from arrays with one entry an annotation; a repetition of the annotator's last annotation changes
-- nothing. The revision is checked in the same statement, so that a text that changes meanwhile is not annotated.
-- Returns the number of new annotations, and the positions, from 1, of those whose text has changed.
WITH input_rows AS MATERIALIZED (
    SELECT
        input_rows.*, ARRAY(SELECT jsonb_array_elements_text(names)) AS categories,
        input_rows.revision = articles.revision AS is_current
    FROM unnest(
        CAST(:ids AS bigint[]), CAST(:revisions AS integer[]), CAST(:categories AS jsonb[]),
        CAST(:annotators AS text[]), CAST(:comments AS text[])
    ) WITH ORDINALITY AS input_rows (article_id, revision, names, annotator, comment, ordinal)
    JOIN articles ON articles.id = article_id
), added AS (
    INSERT INTO annotations (article_id, task_id, revision, categories, annotator, comment)
    SELECT article_id, :task_id, revision, categories, annotator, comment
    FROM input_rows
    JOIN tasks ON tasks.id = :task_id
    WHERE is_current
      AND NOT EXISTS (
        SELECT
        FROM (
            SELECT categories, comment FROM annotations_in_force AS previous
            WHERE previous.article_id = input_rows.article_id
              AND previous.task_id = :task_id
              AND previous.annotator = input_rows.annotator
            ORDER BY previous.id DESC LIMIT 1
        ) AS newest
        WHERE newest.categories = present_categories(input_rows.categories, former_names, present_names)
          AND newest.comment IS NOT DISTINCT FROM input_rows.comment
      )
    ORDER BY ordinal
    RETURNING categories
), named AS (
    INSERT INTO categories (task_id, name)
    SELECT DISTINCT CAST(:task_id AS bigint), name FROM added CROSS JOIN unnest(categories) AS name
    ORDER BY name
    ON CONFLICT DO NOTHING
)
SELECT
    (SELECT count(*) FROM added) AS added,
    (SELECT coalesce(array_agg(ordinal), '{}') FROM input_rows WHERE NOT is_current) AS changed

-- insert_resolution
-- Insert the annotation that resolves a disagreement: only if a person's annotation of the article is in force and, if
-- a revision is given, the text still has it.
INSERT INTO annotations (article_id, task_id, revision, categories, annotator, comment, is_resolution)
SELECT id, :task_id, revision, CAST(:categories AS text[]), :annotator, :comment, true
FROM articles
WHERE id = :article_id
  AND (CAST(:revision AS integer) IS NULL OR revision = :revision)
  AND EXISTS (
    SELECT FROM annotations_in_force
    WHERE article_id = articles.id AND task_id = :task_id AND annotator NOT LIKE 'source:%'
    OFFSET 0
  )

-- disagreements
-- Return each annotator's last annotation of the articles on which people disagree and, with :settled, of those on
-- which people agree and the source does not. For all articles, or for one. Only articles with different annotations
-- are examined closely.
WITH suspects AS MATERIALIZED (
    SELECT article_id
    FROM annotations_in_force
    WHERE task_id = :task_id
      AND (:settled OR annotator NOT LIKE 'source:%')
      AND (CAST(:article_id AS bigint) IS NULL OR article_id = :article_id)
    GROUP BY article_id
    HAVING min(categories) <> max(categories) AND bool_or(annotator NOT LIKE 'source:%')
), latest AS MATERIALIZED (
    SELECT
        suspects.article_id, annotator, categories, comment, annotated_at,
        min(categories) FILTER (WHERE by_a_person) OVER article
            <> max(categories) FILTER (WHERE by_a_person) OVER article AS open,
        min(categories) OVER article <> max(categories) OVER article AS differs
    FROM suspects
    CROSS JOIN LATERAL (
        SELECT annotator, categories, comment, annotated_at, true AS by_a_person
        FROM annotation_opinions
        WHERE annotation_opinions.article_id = suspects.article_id AND annotation_opinions.task_id = :task_id
        UNION ALL
        (
            SELECT annotator, categories, comment, annotated_at, false
            FROM annotations_in_force
            WHERE annotations_in_force.article_id = suspects.article_id
              AND annotations_in_force.task_id = :task_id
              AND annotator LIKE 'source:%'
            ORDER BY id DESC
            LIMIT 1
        )
    ) AS opinions
    WINDOW article AS (PARTITION BY suspects.article_id)
)
SELECT
    latest.article_id, article.source, article.external_id, article.title, article.url, annotator, categories, comment,
    annotated_at, open
FROM latest
CROSS JOIN LATERAL (
    SELECT source, external_id, title, url FROM articles WHERE id = latest.article_id OFFSET 0
) AS article
WHERE open OR (:settled AND differs)
ORDER BY latest.article_id, annotated_at, annotator

-- audited_predictions
-- Return the predictions of a model that were drawn at random, with the annotation that counts; null: not annotated, or
-- annotators disagree. OFFSET 0: each article's conflict is looked up.
SELECT
    coalesce(
        predicted.labels, present_categories(predicted_categories, former_names, present_names)
    ) AS predicted_categories,
    coalesce(predicted.confidence, review_queue.confidence) AS confidence, truth.categories AS annotated
FROM review_queue
JOIN tasks ON tasks.id = :task_id
LEFT JOIN LATERAL (
    SELECT ARRAY(SELECT label FROM unnest(labels) AS label ORDER BY label COLLATE "C") AS labels, confidence
    FROM predicted_labels
    WHERE predicted_labels.article_id = review_queue.article_id
      AND predicted_labels.model_id = review_queue.model_id
      AND predicted_labels.revision = review_queue.revision
    OFFSET 0
) AS predicted ON true
LEFT JOIN LATERAL (
    SELECT categories FROM effective_annotations AS counts
    WHERE counts.article_id = review_queue.article_id AND counts.task_id = :task_id
    OFFSET 0
) AS truth
    ON NOT EXISTS (
        SELECT FROM annotation_conflicts
        WHERE annotation_conflicts.article_id = review_queue.article_id AND annotation_conflicts.task_id = :task_id
        OFFSET 0
    )
WHERE model_id = :model_id
  AND reason = 'audit'
  AND review_queue.revision = (SELECT revision FROM articles WHERE id = article_id)
  AND (CAST(:since AS timestamptz) IS NULL OR queued_at >= :since)

-- count_conflicts
-- Count the articles whose annotators disagree.
SELECT count(*) FROM annotation_conflicts WHERE task_id = :task_id
