"""The classifier's pages in Airflow's UI: results of the use cases, and the few actions that users may take."""
