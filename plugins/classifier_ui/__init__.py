"""The classifier's page in Airflow's UI: what the use cases know, for people, and the few things to do about it."""
