"""Recognizable secrets, the sources that use them, and the places where they could leak."""

from __future__ import annotations

import configparser
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import make_url

from classifier.local_airflow import standalone
from classifier.local_airflow.standalone import AirflowConfig
from tests.support.postgres import programs_of

CONNECTION = "cms"
SOURCES = ("by_variable", "by_connection", "refused")
_PURPOSES = ("the articles' database", "Airflow's database", "a source's variable", "a source's connection")
_KEPT = {"airflow.cfg", "passwords.json", ".env"}
"""Files whose purpose is to store secrets."""


def passwords() -> dict[str, str]:
    """Return a random password for each purpose."""
    return {purpose: f"planted{secrets.token_hex(12)}" for purpose in _PURPOSES}


def declare_sources(folder: Path, passwords: dict[str, str]) -> None:
    """Declare queries of databases that do not answer or refuse the login, and write the `.env` that tasks read."""
    folder.mkdir(parents=True, exist_ok=True)
    query = "query = 'SELECT id, body FROM stories'\ncolumns = {text = 'body', id = 'id'}\ngroup = 'secret'\n"
    databases = ("url_from = 'CMS_URL'", f"connection = '{CONNECTION}'", "url_from = 'OWN_URL'")
    declared = (
        f"[sources.{name}]\nkind = 'sql'\n{database}\n{query}"
        for name, database in zip(SOURCES, databases, strict=True)
    )
    (folder / "sources.toml").write_text("\n".join(declared), encoding="utf-8")
    password = passwords["a source's variable"]
    own = f"postgresql://postgres:{password}@/articles?host={folder.parent / 'postgres'}"
    lines = (
        f"CLASSIFIER_SOURCES={folder / 'sources.toml'}",
        f"CMS_URL=postgresql://reader:{password}@127.0.0.1:1/cms",
        f"OWN_URL={own}",
    )
    (folder / ".env").write_text("\n".join(lines) + "\n", encoding="utf-8")


def made_by_airflow(config: AirflowConfig) -> dict[str, str]:
    """Return the keys that Airflow generated, and the administrator's password."""
    airflow_settings = configparser.ConfigParser(interpolation=None)
    airflow_settings.read(config.airflow_home / "airflow.cfg", encoding="utf-8")
    keys = (("core", "fernet_key"), ("api", "secret_key"), ("api_auth", "jwt_secret"))
    generated = {f"{section}.{key}": airflow_settings.get(section, key, fallback="") for section, key in keys}
    assert all(generated.values()), generated.keys()
    return generated | {"the administrator": standalone.password(config.passwords)}


def visible_contents(config: AirflowConfig) -> Iterator[tuple[str, bytes]]:
    """Yield everything that was written or that other users of the machine can see: files, databases, command lines."""
    for path in sorted(config.home.rglob("*")):
        if path.is_file() and path.name not in _KEPT and config.home / "postgres" not in path.parents:
            yield str(path), path.read_bytes()
    for url in (config.articles_url, config.airflow_url):
        parts = make_url(url).set(drivername="postgresql", username="postgres", password=None)
        dump = [programs_of(18) / "pg_dump", parts.render_as_string(hide_password=False)]
        yield f"the database {parts.database}", subprocess.run(dump, stdout=subprocess.PIPE, check=True).stdout
    for process in Path("/proc").glob("[0-9]*"):
        try:
            line = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if int(process.name) != os.getpid():
            yield f"the command line {line[:80]!r}", line
