-- keep_rejected
-- Store the rejected rows of a step. The same row at the same position is stored once, and is updated only if its
-- reason or unit differs.
INSERT INTO rejected_rows (source, position, reason, row, row_hash, run_id, unit)
SELECT DISTINCT ON (source, source_position, row_hash) source, source_position, reason, row, row_hash, :run_id, :unit
FROM staged_rejected
WHERE position BETWEEN :first AND :last
ORDER BY source, source_position, row_hash, position DESC
ON CONFLICT (source, position, row_hash) DO UPDATE
SET reason = excluded.reason, run_id = excluded.run_id, unit = excluded.unit
WHERE rejected_rows.reason <> excluded.reason OR rejected_rows.unit IS DISTINCT FROM excluded.unit

-- delete_resolved
-- Examine the unit's next rejected rows, by id. After the whole unit was read (complete), delete those that the reading
-- did not reject again; after a part of it, those whose id was ingested. A reading for other tasks resolves nothing.
-- Returns the last id examined, or null if there are no further rows.
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
        WHERE EXISTS (
            SELECT FROM ingest_runs AS former
            JOIN ingest_runs AS present ON present.id = :run_id
            WHERE former.id = step.run_id
              AND former.source = present.source
              AND coalesce(present.options -> 'task_ids', '{}') @> coalesce(former.options -> 'task_ids', '{}')
            OFFSET 0
          )
          AND CASE WHEN CAST(:complete AS boolean) THEN NOT EXISTS (
            SELECT FROM staged_rejected
            WHERE staged_rejected.source_position = step.position
              AND staged_rejected.row_hash = step.row_hash
              AND staged_rejected.source = step.source
            OFFSET 0
          ) ELSE position LIKE 'id %' AND EXISTS (
            SELECT FROM staged_articles
            WHERE staged_articles.source = step.source AND staged_articles.external_id = substr(step.position, 4)
            OFFSET 0
          ) END
    ))
)
SELECT max(id) FROM step
