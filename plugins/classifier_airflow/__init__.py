"""What only Airflow needs: how the DAGs find the database, retry, fail and announce."""
