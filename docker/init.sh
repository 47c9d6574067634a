#!/usr/bin/env bash
# Prepares a new or upgraded stack for the start of its services. Safe to run again.
set -euo pipefail

airflow db migrate
classifier db upgrade
classifier db roles

# Leave an existing pool unchanged: an operator may have given it more slots.
airflow pools get gpu >/dev/null 2>&1 || airflow pools set gpu 1 "One training at a time on the one GPU"

# The file is written here, not mounted: Airflow opens it for writing, and the container's user could not read a file
# of the host with mode 600.
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
