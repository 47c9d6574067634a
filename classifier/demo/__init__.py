"""The demo: the whole workflow on real articles in an Airflow on this machine."""
