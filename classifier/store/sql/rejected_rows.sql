-- keep_rejected
-- Keep the rejected rows of a step; the same row at the same source_position is kept once, and nothing changes where nothing is
-- new.
INSERT INTO rejected_rows (source, position, reason, row, row_hash, run_id, unit)
SELECT DISTINCT ON (source, source_position, row_hash) source, source_position, reason, row, row_hash, :run_id, :unit
FROM staged_rejected
WHERE position BETWEEN :first AND :last
ORDER BY source, source_position, row_hash, position DESC
ON CONFLICT (source, position, row_hash) DO UPDATE
SET reason = excluded.reason, run_id = excluded.run_id, unit = excluded.unit
WHERE rejected_rows.reason <> excluded.reason OR rejected_rows.unit IS DISTINCT FROM excluded.unit

-- delete_resolved_of_complete_unit
-- Of the next rejected rows, by id, of a unit that was read from end to end: drop what it does not hold any more, or
-- holds mended. Returns the last id looked at, null when there is none left.
WITH step AS MATERIALIZED (
    SELECT id, run_id, source, position, row_hash
    FROM rejected_rows
    WHERE unit = :unit AND id > :after
    ORDER BY id
    LIMIT :size
), dropped AS (
    DELETE FROM rejected_rows
    WHERE id = ANY(ARRAY(
        SELECT id
        FROM step
        WHERE (SELECT source FROM ingest_runs WHERE ingest_runs.id = step.run_id) = :source
          AND NOT EXISTS (
            SELECT FROM staged_rejected
            WHERE staged_rejected.source_position = step.position
              AND staged_rejected.row_hash = step.row_hash
              AND staged_rejected.source = step.source
            OFFSET 0
          )
    ))
)
SELECT max(id) FROM step

-- delete_resolved_of_partial_unit
-- The same of a unit that shows only a part each time: drop what has come in by the same id.
WITH step AS MATERIALIZED (
    SELECT id, run_id, source, position
    FROM rejected_rows
    WHERE unit = :unit AND id > :after
    ORDER BY id
    LIMIT :size
), dropped AS (
    DELETE FROM rejected_rows
    WHERE id = ANY(ARRAY(
        SELECT id
        FROM step
        WHERE (SELECT source FROM ingest_runs WHERE ingest_runs.id = step.run_id) = :source
          AND position LIKE 'id %'
          AND EXISTS (
            SELECT FROM staged_articles
            WHERE staged_articles.source = step.source AND staged_articles.external_id = substr(step.position, 4)
            OFFSET 0
          )
    ))
)
SELECT max(id) FROM step
