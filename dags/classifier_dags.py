"""The DAGs of the classifier. Their code and runbooks are in `classifier_airflow.dags`."""

from classifier_airflow.dags import create_dags

create_dags()
