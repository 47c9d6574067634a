-- review_candidates
-- In a share of the table's blocks, the articles that the model has labelled as they are, and which of them it may
-- choose for review: of the train split only, so that what a model finds hard is never what models are tested on.
-- OFFSET 0: each is looked up by the indexes; as joins, the planner may read all predictions.
SELECT
    articles.id, articles.revision, predicted.category, predicted.confidence, predicted.probabilities,
    (SELECT min(cluster_id) FROM text_clusters WHERE text_clusters.fingerprint = articles.fingerprint) AS cluster_id,
    articles.split = 'train'
    AND NOT EXISTS (SELECT FROM annotations_in_force WHERE article_id = articles.id OFFSET 0)
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
    SELECT category, confidence, probabilities
    FROM predictions
    WHERE predictions.article_id = articles.id
      AND predictions.model_id = :model_id
      AND predictions.revision = articles.revision
    OFFSET 0
) AS predicted
ORDER BY articles.id

-- review_candidate_texts
-- The texts of these articles, but for those with a near-duplicate that is annotated, waits for review already, or
-- is kept from training. A text is its own near-duplicate. OFFSET 0: each is looked up by the indexes.
SELECT articles.id, articles.text
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
    ) AS twin
    WHERE own.fingerprint = articles.fingerprint
      AND (
        clusters.split <> 'train'
        OR twin.split <> 'train'
        OR EXISTS (SELECT FROM annotations_in_force AS known WHERE known.article_id = twin.id OFFSET 0)
        OR EXISTS (
            SELECT FROM review_queue
            WHERE review_queue.article_id = twin.id AND model_id = :model_id AND reason <> 'audit'
            OFFSET 0
        )
      )
    OFFSET 0
  )
ORDER BY articles.id

-- rewritten_articles
-- Articles that people have annotated whose text has become another one since, as the model has labelled them; not
-- those that have an annotation in force, or that this model has asked for already. OFFSET 0: looked up by the
-- indexes.
WITH rewritten AS MATERIALIZED (
    SELECT DISTINCT articles.id, articles.revision
    FROM annotations
    JOIN articles
        ON articles.id = annotations.article_id
        AND articles.content_revision > annotations.revision
        AND articles.content_revision > 1
    WHERE annotator NOT LIKE 'source:%'
)
SELECT id, rewritten.revision, predicted.category, predicted.confidence
FROM rewritten
CROSS JOIN LATERAL (
    SELECT category, confidence FROM predictions
    WHERE article_id = rewritten.id AND model_id = :model_id AND predictions.revision = rewritten.revision
    OFFSET 0
) AS predicted
WHERE NOT EXISTS (SELECT FROM annotations_in_force WHERE article_id = rewritten.id OFFSET 0)
  AND NOT EXISTS (
    SELECT FROM review_queue
    WHERE article_id = rewritten.id AND model_id = :model_id AND revision = rewritten.revision AND reason <> 'audit'
    OFFSET 0
  )
ORDER BY id
LIMIT :number

-- enqueue_reviews
-- Arrays of one entry an article.
INSERT INTO review_queue (article_id, model_id, revision, reason, predicted_category, confidence)
SELECT article_id, :model_id, revision, reason, predicted_category, confidence
FROM unnest(
    CAST(:ids AS bigint[]), CAST(:revisions AS integer[]), CAST(:reasons AS text[]), CAST(:categories AS text[]),
    CAST(:confidences AS real[])
) AS chosen (article_id, revision, reason, predicted_category, confidence)
ORDER BY article_id
ON CONFLICT DO NOTHING

-- waiting_reviews
-- What a model's queue still asks for: articles as they were labelled, of which no annotation is in force.
SELECT
    article_id, revision, array_agg(reason ORDER BY reason) AS reasons, min(predicted_category) AS predicted_category,
    min(confidence) AS confidence
FROM review_queue
WHERE model_id = :model_id
  AND revision = (SELECT revision FROM articles WHERE id = article_id)
  AND NOT EXISTS (SELECT FROM annotations_in_force AS own WHERE own.article_id = review_queue.article_id OFFSET 0)
GROUP BY article_id, revision
ORDER BY min(queued_at), article_id

-- queued_revisions
-- Of these articles those that have been asked for, by any model, with their present revision.
SELECT id, revision
FROM articles
WHERE id = ANY(CAST(:ids AS bigint[]))
  AND EXISTS (SELECT FROM review_queue WHERE review_queue.article_id = articles.id)

-- known_categories
-- Those of the names that a model or an annotation has. Annotations are read once, and only for names of no model.
SELECT given.name
FROM unnest(CAST(:names AS text[])) AS given (name)
WHERE EXISTS (SELECT FROM models WHERE given.name = ANY(categories))
   OR given.name IN (SELECT category FROM annotations WHERE category = ANY(CAST(:names AS text[])))

-- annotated_categories
-- The first categories of all annotations, one look-up in the index each: DISTINCT would read every annotation.
WITH RECURSIVE named (category) AS (
    (SELECT category FROM annotations ORDER BY category LIMIT 1)
    UNION ALL
    SELECT (
        SELECT category FROM annotations WHERE annotations.category > named.category ORDER BY category LIMIT 1
    )
    FROM named
    WHERE category IS NOT NULL
)
SELECT category FROM named WHERE category IS NOT NULL LIMIT :size

-- insert_annotations
-- Arrays of one entry an annotation of a revision; what an annotator has said last already changes nothing. Checked and
-- inserted at once: an annotation has the revision that was read, so a text that changes at the same moment is not
-- annotated by it. Returns how many are new, and the places, from 1, of those whose text is another one now.
WITH given AS MATERIALIZED (
    SELECT given.*, given.revision = articles.revision AS present
    FROM unnest(
        CAST(:ids AS bigint[]), CAST(:revisions AS integer[]), CAST(:categories AS text[]),
        CAST(:annotators AS text[]), CAST(:comments AS text[])
    ) WITH ORDINALITY AS given (article_id, revision, category, annotator, comment, place)
    JOIN articles ON articles.id = article_id
), added AS (
    INSERT INTO annotations (article_id, revision, category, annotator, comment)
    SELECT article_id, revision, category, annotator, comment
    FROM given
    WHERE present
      AND NOT EXISTS (
        SELECT
        FROM (
            SELECT category, comment FROM annotations_in_force AS former
            WHERE former.article_id = given.article_id AND former.annotator = given.annotator
            ORDER BY former.id DESC LIMIT 1
        ) AS newest
        WHERE newest.category = given.category AND newest.comment IS NOT DISTINCT FROM given.comment
      )
    ORDER BY place
    RETURNING 1
)
SELECT
    (SELECT count(*) FROM added) AS added,
    (SELECT coalesce(array_agg(place), '{}') FROM given WHERE NOT present) AS changed

-- insert_resolution
-- The annotation that settles what people said of an article: where a person's annotation of it is in force, and its
-- text is still the given revision, if one is given.
INSERT INTO annotations (article_id, revision, category, annotator, comment, is_resolution)
SELECT id, revision, :category, :annotator, :comment, true
FROM articles
WHERE id = :article_id
  AND (CAST(:revision AS integer) IS NULL OR revision = :revision)
  AND EXISTS (
    SELECT FROM annotations_in_force WHERE article_id = articles.id AND annotator NOT LIKE 'source:%' OFFSET 0
  )

-- disagreements
-- What each annotator said last of the articles that people disagree on and, where wanted, of those where people agree
-- and the source says otherwise; of all articles, or of one. Only what annotations differ on is looked at closely.
WITH suspects AS MATERIALIZED (
    SELECT article_id
    FROM annotations_in_force
    WHERE (:settled OR annotator NOT LIKE 'source:%')
      AND (CAST(:article_id AS bigint) IS NULL OR article_id = :article_id)
    GROUP BY article_id
    HAVING min(category) <> max(category) AND bool_or(annotator NOT LIKE 'source:%')
), said AS MATERIALIZED (
    SELECT
        suspects.article_id, annotator, category, comment, annotated_at,
        min(category) FILTER (WHERE by_a_person) OVER article
            <> max(category) FILTER (WHERE by_a_person) OVER article AS open,
        min(category) OVER article <> max(category) OVER article AS differs
    FROM suspects
    CROSS JOIN LATERAL (
        SELECT annotator, category, comment, annotated_at, true AS by_a_person
        FROM annotation_opinions
        WHERE annotation_opinions.article_id = suspects.article_id
        UNION ALL
        (
            SELECT annotator, category, comment, annotated_at, false
            FROM annotations_in_force
            WHERE annotations_in_force.article_id = suspects.article_id AND annotator LIKE 'source:%'
            ORDER BY id DESC
            LIMIT 1
        )
    ) AS opinions
    WINDOW article AS (PARTITION BY suspects.article_id)
)
SELECT said.article_id, article.source, article.external_id, annotator, category, comment, annotated_at, open
FROM said
CROSS JOIN LATERAL (SELECT source, external_id FROM articles WHERE id = said.article_id OFFSET 0) AS article
WHERE open OR (:settled AND differs)
ORDER BY said.article_id, annotated_at, annotator

-- audited_predictions
-- The articles drawn at random from a model's labels, with the annotation that counts; null: nobody has annotated the
-- article, or people disagree. OFFSET 0: each article's conflict is looked up.
SELECT predicted_category, review_queue.confidence, truth.category AS annotated
FROM review_queue
LEFT JOIN LATERAL (
    SELECT category FROM effective_annotations AS counts WHERE counts.article_id = review_queue.article_id OFFSET 0
) AS truth
    ON NOT EXISTS (
        SELECT FROM annotation_conflicts WHERE annotation_conflicts.article_id = review_queue.article_id OFFSET 0
    )
WHERE model_id = :model_id
  AND reason = 'audit'
  AND review_queue.revision = (SELECT revision FROM articles WHERE id = article_id)
  AND (CAST(:since AS timestamptz) IS NULL OR queued_at >= :since)

-- count_conflicts
-- How many articles people disagree on.
SELECT count(*) FROM annotation_conflicts
