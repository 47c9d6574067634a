#!/usr/bin/env bash
# Brings a new or an upgraded stack to the point where the services may start. Safe to run again.
set -euo pipefail

airflow db migrate
classifier db upgrade
classifier db roles

# An operator may have given the pool more slots since: leave it if it is there.
airflow pools get gpu >/dev/null 2>&1 || airflow pools set gpu 1 "One training at a time on the one GPU"

# Written here rather than mounted: Airflow opens the file for writing, and a host's file of mode 600
# would not be readable by the container's user.
python - "$AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE" <<'PYTHON'
import json
import os
import sys

passwords = {user: os.environ[f"AIRFLOW_{user.upper()}_PASSWORD"] for user in ("admin", "viewer")}
os.umask(0o077)
with open(sys.argv[1] + ".new", "w") as file:
    json.dump(passwords, file)
os.replace(file.name, sys.argv[1])
PYTHON
