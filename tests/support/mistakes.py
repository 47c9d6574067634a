"""Mistakes of users on the command line: what a case prepares, and what must hold after the command."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from classifier import registry
from classifier.store import model_rows
from classifier.workspace import Workspace
from tests.support.synthetic import COLUMNS, articles, dump, ingest_file, query, run, unlabelled, write_csv
from tests.support.tiny_models import make_artefact, make_encoder

Case = tuple[Callable[["MistakeEnv"], tuple[object, ...]], str]
"""A function that prepares a mistake and returns the command's arguments, and the expected line as a pattern."""


@dataclass
class MistakeEnv:
    """A migrated database and a folder for a case to fill; `environment` are the command's variables."""

    workspace: Workspace
    folder: Path
    environment: dict[str, str | None] = field(default_factory=dict)

    def csv(self, *rows: dict[str, str], name: str = "x.csv") -> str:
        return write_csv(self.folder / name, rows).name

    def bytes(self, content: bytes, name: str = "x.csv") -> str:
        (self.folder / name).write_bytes(content)
        return name

    def annotated(self, rows=None, split="train") -> None:
        rows = [{**row, "split": split} for row in (rows or articles(60))]
        columns = type(COLUMNS)("text", "category", "id", "split")
        ingest_file(self.workspace, self.folder / "before.csv", rows, columns)

    def model(self, *, champion: bool = False) -> Path:
        files = make_artefact(self.workspace.models / "m1")
        with self.workspace.database.begin() as connection:
            model = registry.register(connection, "m1", files, {})
            if champion:
                model_rows.make_champion(connection, model.id)
        return files.directory

    def champion(self) -> Path:
        ingest_file(self.workspace, self.folder / "before.csv", unlabelled(9))
        return self.model(champion=True)

    def database(self, **changes: Any) -> None:
        url = self.workspace.database.url.set(**changes)
        self.environment["CLASSIFIER_DATABASE_URL"] = url.render_as_string(hide_password=False)

    def label_table(
        self, *more: str, url="THEIRS", table="news", key="id", text="body", rows="(1, 'the bank'), (2, 'the goal')"
    ):
        """Create a user's table; return the arguments that label it, with the URL in a variable."""
        run(self.workspace.database, "CREATE TABLE news (id int, body text)")
        run(self.workspace.database, f"INSERT INTO news VALUES {rows}")
        self.environment["THEIRS"] = url if "://" in url else self.environment["CLASSIFIER_DATABASE_URL"]
        url = "THEIRS" if "://" in url else url
        return "label-table", "--url", url, "--table", table, "--key", key, "--text", text, *more

    def label_query(self, query: str):
        name, *options = self.label_table("--out", "found")
        options[options.index("--table")] = "--query"
        options[options.index("news")] = query
        return name, *options

    def encoder(self) -> Path:
        return make_encoder(self.folder / "encoder")


def register(cases: dict[str, Case], name: str, line: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds a function to the cases, with the line that it expects."""

    def add(prepare: Callable[..., Any]) -> Callable[..., Any]:
        cases[name] = prepare, line
        return prepare

    return add


_TABLES = (
    "articles",
    "splits",
    "annotations",
    "labelling_queue",
    "predictions",
    "models",
    "evaluations",
    "promotions",
    "drift_runs",
)


def check_mistake(classifier, env: MistakeEnv, case: Case) -> None:
    """Run a case's command; assert that it prints one line, ends with code 2 and changes nothing.

    Only rejected rows are kept, with their reasons.
    """
    prepare, expected = case
    arguments = prepare(env)
    database = env.workspace.database
    before, files = dump(database, *_TABLES, "rejected_rows"), files_under(env.folder)
    tables = tables_of(database)

    done = classifier(*arguments, **env.environment)

    lines = done.stderr.splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (2, "", 1), done.stderr
    assert re.match(r"error: \S", lines[0]), lines[0]
    assert re.search(expected, lines[0]), lines[0]
    assert "secret" not in lines[0], lines[0]
    after = dump(database, *_TABLES, "rejected_rows")
    if "rows are invalid" in expected:
        assert len(after.pop("rejected_rows")) > len(before.pop("rejected_rows"))
    assert after == before, "the command changed a table"
    assert tables_of(database) == tables, "the command created or dropped a table"
    assert files_under(env.folder) == files, "the command wrote a file"


def tables_of(database):
    return query(database, "SELECT schemaname, tablename FROM pg_tables ORDER BY 1, 2")


def files_under(folder):
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}
