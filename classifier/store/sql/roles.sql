-- close_database
-- Revoke what Postgres grants to everybody: connecting, temporary tables and, before version 15, creating tables.
REVOKE ALL ON DATABASE {database} FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC

-- create_role
-- Without a password, the role cannot log in over the network.
CREATE ROLE {role} LOGIN

-- create_reader
-- The setting prevents accidental writes; missing grants prevent deliberate ones.
CREATE ROLE {role} LOGIN;
ALTER ROLE {role} SET default_transaction_read_only = on

-- set_password
-- The password comes hashed, so that no log of statements has it.
ALTER ROLE {role} PASSWORD {verifier}

-- grant_pipeline
-- Grant the rows of all tables, also of later versions, and temporary tables. Annotations, decisions, evaluations and
-- the schema's version are append-only or read-only; an annotation may be retracted. Only the owner deletes articles and
-- models.
GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {role};
GRANT USAGE ON SCHEMA public, optuna TO {role};
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public, optuna TO {role};
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public, optuna TO {role};
ALTER DEFAULT PRIVILEGES IN SCHEMA public, optuna GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role};
ALTER DEFAULT PRIVILEGES IN SCHEMA public, optuna GRANT USAGE ON SEQUENCES TO {role};
REVOKE INSERT, UPDATE, DELETE ON alembic_version, optuna.alembic_version, optuna.version_info FROM {role};
REVOKE UPDATE, DELETE ON annotations, category_changes, evaluations, evaluation_predictions, promotions FROM {role};
GRANT UPDATE (retracted_at, retracted_by) ON annotations TO {role};
REVOKE INSERT, UPDATE, DELETE ON erasures, erased_articles, erasure_key FROM {role};
REVOKE DELETE ON articles, models FROM {role}

-- grant_analyst
-- Grant the labels and how they were made: no column with an article's text, whole or in part, and none that tells
-- where sources are.
GRANT CONNECT ON DATABASE {database} TO {role};
GRANT USAGE ON SCHEMA public TO {role};
GRANT SELECT ON article_labels, article_label_sets, predicted_labels, predictions TO {role};
GRANT SELECT ON tasks, categories, category_changes, annotations TO {role};
GRANT SELECT ON annotations_in_force, effective_annotations, annotation_conflicts, annotation_opinions,
    annotations_before_split, shown_annotations, present_annotations
    TO {role};
GRANT SELECT ON models, promotions, evaluations, evaluation_predictions, drift_runs TO {role};
GRANT SELECT ON labelling_queue, review_queue, dead_letters, training_runs, training_metrics TO {role};
GRANT SELECT (id, source, external_id, revision, content_revision, split, published_at, ingested_at, changed_at, run_id,
    changed_run_id)
    ON articles TO {role};
GRANT SELECT (id, source, kind, status, files, read, new, changed, unchanged, rejected, duplicates, started_at, finished_at,
    erased, other_split, undone_at)
    ON ingest_runs TO {role};
GRANT SELECT (id, source, reason, rejected_at, run_id) ON rejected_rows TO {role}
