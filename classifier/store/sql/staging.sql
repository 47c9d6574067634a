-- create_staging_tables
-- Create the temporary tables of one ingest: the source's articles, their texts that have no split yet, the changes,
-- and the rejected rows. Each is processed by position, in steps. EXTERNAL: compressing the texts would take longer
-- than the rest of a COPY.
CREATE TEMPORARY TABLE staged_articles (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    external_id text NOT NULL,
    text text STORAGE EXTERNAL NOT NULL,
    text_hash bytea NOT NULL,
    fingerprint bytea NOT NULL,
    annotations jsonb,
    own_split text,
    published_at timestamptz,
    title text,
    url text,
    superseded boolean NOT NULL DEFAULT false
) ON COMMIT DROP;
CREATE INDEX ON staged_articles (source, external_id, position);
CREATE TEMPORARY TABLE staged_texts (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint bytea NOT NULL,
    source text NOT NULL,
    external_id text NOT NULL,
    own_split text,
    bands bytea
) ON COMMIT DROP;
CREATE TEMPORARY TABLE staged_changes (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    article_id bigint NOT NULL,
    revision integer NOT NULL
) ON COMMIT DROP;
CREATE TEMPORARY TABLE staged_small_changes (
    article_id bigint NOT NULL,
    revision integer NOT NULL,
    fingerprint bytea NOT NULL,
    sketch bytea NOT NULL,
    PRIMARY KEY (article_id, fingerprint)
) ON COMMIT DROP;
CREATE TEMPORARY TABLE staged_rejected (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source text NOT NULL,
    source_position text NOT NULL,
    reason text NOT NULL,
    row text STORAGE EXTERNAL NOT NULL,
    row_hash bytea NOT NULL
) ON COMMIT DROP;
CREATE INDEX ON staged_rejected (source_position, row_hash)

-- copy_articles
COPY staged_articles (
    source, external_id, text, text_hash, fingerprint, annotations, own_split, published_at, title, url
)
FROM STDIN WITH (FORMAT csv)

-- copy_texts
COPY staged_texts (fingerprint, source, external_id, own_split, bands) FROM STDIN WITH (FORMAT csv)

-- copy_rejected
COPY staged_rejected (source, source_position, reason, row, row_hash) FROM STDIN WITH (FORMAT csv)

-- last_staged_positions
-- Return the last position of each staging table.
SELECT
    (SELECT max(position) FROM staged_articles) AS staged_articles,
    (SELECT max(position) FROM staged_texts) AS staged_texts,
    (SELECT max(position) FROM staged_changes) AS staged_changes,
    (SELECT max(position) FROM staged_rejected) AS staged_rejected

-- staged_texts
-- Return the texts of a step that had no split when they were staged, by position.
SELECT fingerprint, source, external_id, own_split, bands
FROM staged_texts
WHERE position BETWEEN :first AND :last
ORDER BY position
