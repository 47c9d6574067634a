"""Health checks of the containers, without an import of Airflow or Celery, which takes seconds of processor time.

`health.py http ADDRESS`    the server answers, and names no unhealthy database
`health.py job JOB_TYPE`    this container's job has written a heartbeat within the last minute
`health.py worker`          this container's Celery worker answers a ping
"""

import os
import socket
import sys
from collections.abc import Callable


def check_http(address: str) -> bool:
    """Return whether the server at an address, as `127.0.0.1:80/health`, answers and names no unhealthy database."""
    import http.client
    import json

    server, _, path = address.partition("/")
    connection = http.client.HTTPConnection(server, timeout=10)
    connection.request("GET", f"/{path}")
    response = connection.getresponse()
    states = json.loads(response.read() or "{}")
    return response.status == 200 and states.get("metadatabase", {}).get("status") != "unhealthy"


def check_job(job_type: str) -> bool:
    """Return whether a job of this container runs and has written a heartbeat to Airflow's database."""
    import psycopg2

    address = os.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "", 1)
    with psycopg2.connect(address, connect_timeout=10) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM job WHERE job_type = %s AND state = 'running' AND starts_with(hostname, %s) "
            "AND latest_heartbeat > now() - interval '1 minute'",
            (job_type, socket.gethostname()),
        )
        row = cursor.fetchone()
    return bool(row and row[0])


def check_worker() -> bool:
    """Return whether the worker of this container answers a ping over the broker."""
    from kombu import Connection
    from kombu.pidbox import Mailbox

    with Connection(os.environ["AIRFLOW__CELERY__BROKER_URL"], connect_timeout=10) as connection:
        mailbox = Mailbox("celery", type="fanout", accept=["json"])(connection)
        return bool(mailbox.call([f"celery@{os.environ['HOSTNAME']}"], "ping", {}, timeout=10))


CHECKS: dict[str, Callable[..., bool]] = {"http": check_http, "job": check_job, "worker": check_worker}

if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    sys.exit(0 if CHECKS[name](*arguments) else 1)
