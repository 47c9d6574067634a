"""Ask every route of the classifier's pages as every role of FAB's auth manager; print the answers as JSON.

An auth manager is chosen once a process, so this is a program: `python -m tests.support.fab_roles`. The environment
names an empty `AIRFLOW_HOME`, the auth manager and the database of the articles.
"""

from __future__ import annotations

import json
import re
import sys
from typing import Any

from tests.support.page_routes import FORMS, PATH_VALUES

ROLES = ("Admin", "Op", "User", "Viewer", "Public")


def main() -> None:
    """Print the answers: status by role and route."""
    from airflow.api_fastapi.app import create_app
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder
    from airflow.utils import db
    from fastapi.testclient import TestClient

    db.initdb()
    with get_application_builder() as builder:
        builder.sm.sync_roles()
        for role in ROLES:
            builder.sm.add_user(role, role, role, f"{role}@example.org", builder.sm.find_role(role), password=role)

    from classifier_ui import actions

    actions.trigger_dag = lambda *_, **__: None  # what is asked is whether the user may
    with TestClient(create_app(apps="core"), base_url="http://airflow") as client:
        answers = {role: _answers(client, role) for role in (*ROLES, "")}
    sys.stdout.write(json.dumps(answers) + "\n")


def _answers(client: Any, role: str) -> dict[str, int]:
    """Return the status of each route for a user of a role; an empty role is a caller who has not logged in."""
    from classifier_ui import plugin

    headers = {"Sec-Fetch-Site": "same-origin"}
    if role:
        credentials = {"username": role, "password": role}
        answer = client.post("/auth/token", json=credentials)
        token = answer.raise_for_status().json()["access_token"]
        headers["Authorization"] = f"Bearer {token}"
    client.cookies.clear()
    result = {}
    for route in plugin.ALL_PAGES[0].application.routes:
        (method,) = route.methods - {"HEAD"}
        path = re.sub(r"\{(\w+)(:path)?\}", lambda match: PATH_VALUES[match[1]], route.path)
        asked = client.request(
            method,
            f"/classifier{path}",
            headers=headers,
            data=FORMS if method == "POST" else None,
            follow_redirects=False,
        )
        result[f"{method} {route.path}"] = asked.status_code
    return result


if __name__ == "__main__":
    main()
