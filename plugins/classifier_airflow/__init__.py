"""What the DAGs need from Airflow: the database connection, retries, alerts, metrics and lineage."""
