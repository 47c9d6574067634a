-- data_directory
-- Return the directory of the server's files; no row if the role may not know it.
SELECT setting FROM pg_settings WHERE name = 'data_directory'

-- rewrite_tables
-- Write every table that had rows of an article into new files: deleted rows stay in the old ones until they are
-- overwritten.
VACUUM (FULL, ANALYZE) articles, annotations, predictions, rejected_rows, splits, clusters, cluster_bands, cluster_bridges,
    labelling_queue, review_queue, dead_letters, evaluations, evaluation_predictions, evaluation_progress, models

-- rewrite_statistics
-- The same for the planner's statistics, which had examples of ids and texts.
VACUUM (FULL) pg_statistic

-- keep_no_old_log
-- Delete old files of the write-ahead log, instead of keeping them under a new name with their former content.
ALTER SYSTEM SET wal_recycle = off

-- keep_old_log
-- Reuse the files of the write-ahead log again.
ALTER SYSTEM RESET wal_recycle

-- reload_settings
-- Let the server read its settings again.
SELECT pg_reload_conf()

-- count_log_files
-- Count the files of the write-ahead log.
SELECT count(*) FROM pg_ls_waldir()

-- end_log_file
-- Fill the present file of the write-ahead log, and begin the next one.
SELECT pg_logical_emit_message(true, '', ''), pg_switch_wal()

-- delete_old_log
-- Delete the files of the write-ahead log that are not needed any more.
CHECKPOINT
