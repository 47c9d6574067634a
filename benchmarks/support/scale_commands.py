"""Measure the seconds and peak memory of every command and every section of the page in a database.

Each runs in a process of its own, commands as users type them, with the usual time limits of statements. A command that
exceeds one fails and is reported as a failure. The models are DistilBERTs of two layers and width 8, because rows are
measured, not the network. For the same reason training steps are not measured, but the data that they read is.

If the module is run with a name of `READINGS`, it makes only that reading.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.support import common, scale_database
from benchmarks.support.scale_database import Size
from classifier.pipeline.review import annotation, conflicts
from classifier.pipeline.training import training_data
from classifier.settings import Settings
from classifier.training import data_snapshot
from classifier.workspace import Workspace

NEW = 10_000
"""Rows of the ingested file, labelled articles of the queue, and labelled rows of the external table."""

QUICK = {"training's data", "section review", "status"}
"""The measurements of the quick version: each process takes seconds to start."""

Figures = dict[str, Any]
"""Seconds and megabytes; `error` is the last line of a command that failed."""

_COMMAND = """
import sys
out = sys.argv.pop(1)
sys.argv[0] = "classifier"
from classifier.cli.app import main
try:
    main()
finally:
    status = open("/proc/self/status").read()
    open(out, "w").write(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1])
"""


@dataclass(frozen=True, slots=True)
class ScaleWorkspace:
    """A database of `scale_database` and its folder."""

    url: str
    home: Path
    size: Size

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a command."""
        values = {
            "DATABASE_URL": self.url,
            "HOME": str(self.home),
            "ENCODER": str(self.home / "encoder"),
            "SOURCES": str(self.home / "sources.toml"),
            "GATE": json.dumps({"macro_f1": 1, "accuracy": 1, "category_f1": 1, "baseline": 1, "floor_macro_f1": -1}),
        }
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CLASSIFIER_")}
        return {**kept, **{f"CLASSIFIER_{name}": value for name, value in values.items()}}


def commands(target: ScaleWorkspace) -> Iterator[tuple[str, list[str]]]:
    """Yield every command that reads or writes rows, with a name, in an order that gives each its input."""
    columns = ["--id", "id", "--category", "category", "--source-name", scale_database.SOURCE]
    new, champion = str(target.home / "new.csv"), f"m{target.size.models - 1}"
    own = ["label-table", "--url", "CLASSIFIER_DATABASE_URL", "--table", "articles", "--key", "id", "--text", "text"]
    yield "db upgrade", ["db", "upgrade"]
    yield f"ingest, {NEW:,} new rows", ["ingest", new, *columns]
    yield "ingest, the same again", ["ingest", new, *columns]
    yield "sources check", ["sources", "check"]
    yield "sources ingest", ["sources", "ingest"]
    yield "sources ingest, nothing new", ["sources", "ingest"]
    yield "rejected", ["rejected"]
    yield "rejected of a source", ["rejected", "list", "--source", "another"]
    yield "rejected retry", ["rejected", "retry", "--source", "folder"]
    yield "splits report", ["splits", "report"]
    yield "train, where too little is new since the last time", ["train", "--min-new-annotations", str(10**9)]
    yield "evaluate", ["evaluate"]
    yield "evaluate the champion", ["evaluate", "champion"]
    yield "gate", ["gate"]
    yield "report", ["report"]
    yield "drift", ["drift"]
    yield f"label, {NEW:,} articles", ["label", "--limit", str(NEW)]
    yield f"label-table, {NEW:,} rows", own
    yield "label-table, nothing new", own
    yield "dead-letters", ["dead-letters"]
    yield "dead-letters retry", ["dead-letters", "retry"]
    yield "status", ["status"]
    yield "status --exact", ["status", "--exact"]
    yield "review fill", ["review", "fill", "--number", "5000", "--audit", "100"]
    yield "review export", ["review", "export", str(target.home / "review.csv"), "--limit", "500"]
    yield "review import, 500 rows", ["review", "import", str(target.home / "filled.csv"), "--annotator", "ann"]
    yield "review conflicts", ["review", "conflicts"]
    yield "review conflicts --all", ["review", "conflicts", "--all"]
    yield "review status", ["review", "status"]
    yield "models", ["models"]
    yield "models show", ["models", "show"]
    yield "models import", ["models", "import", str(target.home / "models" / champion)]
    yield "promote", ["promote", f"m{target.size.models}"]
    yield "promotions", ["promotions"]
    yield f"label, {NEW:,} articles of a new champion", ["label", "--limit", str(NEW)]
    yield "rollback", ["rollback"]
    yield "prune", ["prune", "--keep-models", "1"]
    yield "prune --yes", ["prune", "--keep-models", "1", "--yes"]


def measure(target: ScaleWorkspace, *, quick: bool) -> dict[str, dict[str, Figures]]:
    """Measure the readings, the page's sections and the commands in a prepared database."""
    results = {**read(target, quick=quick), "commands": {}}
    for name, arguments in commands(target):
        if quick and name not in QUICK:
            continue
        results["commands"][name] = shown(target, name, command(target, arguments))
        if arguments[:2] == ["review", "export"]:
            fill_in(target)
    return results


def read(target: ScaleWorkspace, *, quick: bool) -> dict[str, dict[str, Figures]]:
    """Measure the readings and the page's sections."""
    results: dict[str, dict[str, Figures]] = {}
    for kind, names in (("readings", READINGS), ("sections", sections())):
        chosen = [name for name in names if not quick or name in QUICK]
        results[kind] = {name: shown(target, name, reading(target, name)) for name in chosen}
    return results


def shown(target: ScaleWorkspace, name: str, figures: Figures) -> Figures:
    """Print a line of the table; return its figures."""
    print(f"{target.size.articles:>9,}  {name:52} {figures}", flush=True)
    return figures


def command(target: ScaleWorkspace, arguments: Sequence[str]) -> Figures:
    """Run a command; return its seconds, with start and imports, and its peak memory."""
    out = target.home / "memory"
    out.write_text("0", encoding="ascii")
    began = time.perf_counter()
    done = _run(target, "-c", _COMMAND, str(out), *arguments)
    figures = {"s": round(time.perf_counter() - began, 2), "mb": round(int(out.read_text(encoding="ascii")) / 1024)}
    return figures if done.returncode == 0 or arguments == ["drift"] else {**figures, "error": _last_line(done)}


def reading(target: ScaleWorkspace, name: str) -> Figures:
    """Make a reading; return the seconds of the reading alone, and the process' peak memory."""
    done = _run(target, "-m", "benchmarks.support.scale_commands", name)
    return dict(json.loads(done.stdout.splitlines()[-1])) if done.returncode == 0 else {"error": _last_line(done)}


def _run(target: ScaleWorkspace, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=target.environment, cwd=target.home, capture_output=True, text=True, check=False)


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr.strip().splitlines() or ["no message"])[-1][-300:]


def prepare(target: ScaleWorkspace) -> None:
    """Write the artefacts of the last three models, label most of an external table, and write the input files."""
    from sqlalchemy import text

    from classifier.store.connections import connect
    from tests.support import tiny_models

    tiny_models.make_encoder(target.home / "encoder")
    names = tuple(f"category {number:04}" for number in range(target.size.categories))
    extra_files = {data_snapshot.FILE: _snapshot(target.size)}
    database = connect(target.url, statement_timeout_s=3600)
    with database.begin() as connection:
        for number in range(target.size.models - 2, target.size.models + 1):
            files = tiny_models.make_artefact(target.home / "models" / f"m{number}", names, extra_files=extra_files)
            values = {"name": f"m{number}", "artefact": str(files.directory), "sha256": files.manifest_sha256}
            connection.execute(text(_FILES), values)
        connection.execute(text(_LABELS))
        connection.execute(text(_LABELLED), {"last": target.size.articles - NEW})
    database.dispose()
    write_csv(target.home / "new.csv", target.size, target.size.articles + 1, NEW)
    for number in range(10):
        (target.home / "folder").mkdir(exist_ok=True)
        write_csv(target.home / "folder" / f"{number}.csv", target.size, 2 * target.size.articles + 200 * number, 200)
    (target.home / "sources.toml").write_text(_SOURCES.format(folder=target.home / "folder"), encoding="utf-8")


_FILES = "UPDATE models SET artefact = :artefact, manifest_sha256 = :sha256 WHERE name = :name"
_LABELS = """
CREATE TABLE articles_labels (
    id bigint PRIMARY KEY, model text NOT NULL, category text, confidence real, probabilities jsonb, text_hash text,
    labelled_at timestamptz NOT NULL, error text
)
"""
_LABELLED = """
INSERT INTO articles_labels (id, model, category, confidence, text_hash, labelled_at)
SELECT articles.id, models.name, 'category 0001', 0.9, encode(text_hash, 'hex'), now()
FROM articles JOIN models ON models.status = 'champion'
WHERE articles.id <= :last
ORDER BY articles.id
"""
_SOURCES = """
[sources.folder]
kind = "files"
files = "{folder}/*.csv"
columns = {{ text = "text", category = "category", id = "id" }}
"""


def write_csv(path: Path, size: Size, first: int, rows: int) -> None:
    """Write new articles: a fifth with a category, and one row in a hundred without a text."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "text", "category"))
        for number in range(first, first + rows):
            content = scale_database.article(number, size.categories) if number % 100 else ""
            category = "" if number % 5 else scale_database.category(number, size.categories)
            writer.writerow((f"a{number}", content, category))


def fill_in(target: ScaleWorkspace) -> None:
    """Fill in the exported sheet, as annotators do."""
    with (target.home / "review.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    with (target.home / "filled.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows({**row, "category": "category 0001"} for row in rows)


def _snapshot(size: Size) -> bytes:
    """Return the data snapshot of a model that was trained on every fifth article."""
    from classifier.articles import AnnotatedArticle

    train = [
        AnnotatedArticle(number, "", number.to_bytes(32, "big"), (scale_database.category(number, size.categories),))
        for number in range(1, size.articles + 1, 5)
        if scale_database.split(number) == "train"
    ]
    return data_snapshot.encode_snapshot({"train": train, "validation": []})


def workspace(target: ScaleWorkspace) -> Workspace:
    """Open a database in this process, with the limits of a command."""
    from classifier.store.connections import connect

    return Workspace(connect(target.url), Settings(home=target.home, _env_file=None))


def read_training_data(workspace: Workspace) -> None:
    """Read the data of a training or a search."""
    training_data.read_training_data(workspace)


def read_evaluation_data(workspace: Workspace) -> None:
    """Read the data of an evaluation."""
    from classifier.store import annotated_articles, evaluations

    with workspace.database.connect() as connection:
        test = annotated_articles.load_split(connection, "test")
        evaluations.articles_by_id(connection, [article.id for article in test])
        for split in ("train", "validation"):
            annotated_articles.load_split(connection, split)


def review_next(workspace: Workspace) -> None:
    """Read the page on which people annotate."""
    annotation.next_question(workspace, "ann")


def review_disputed(workspace: Workspace) -> None:
    """Read the page of an article with conflicting annotations."""
    first = conflicts.list_conflicts(workspace)[0].article_id
    annotation.read_question(workspace, first, "ann")


READINGS: dict[str, Callable[[Workspace], Any]] = {
    "training's data": read_training_data,
    "evaluation's data": read_evaluation_data,
}


def sections() -> dict[str, Callable[[Workspace], Any]]:
    """Return the functions that read each section of the page and the pages on which people annotate."""
    sys.path.insert(0, str(common.ROOT / "plugins"))
    from classifier_ui.sections import SECTIONS

    readers: dict[str, Callable[[Workspace], Any]] = {
        f"section {name}": section.read for name, section in SECTIONS.items()
    }
    return {**readers, "page review/next": review_next, "page review/articles/N": review_disputed}


def main() -> None:
    """Make the named reading with its time limit, and print its figures."""
    from classifier.workspace import open_workspace

    name, settings = sys.argv[1], Settings()
    if name not in READINGS:
        settings = settings.model_copy(update={"statement_timeout_s": settings.page_timeout_s})
    workspace = open_workspace(settings)
    with workspace.database.connect():
        pass  # the first connection is not part of the reading
    read = {**READINGS, **sections()}[name]
    if name not in READINGS:
        read(workspace)  # an API server has imported its modules before
    began = time.perf_counter()
    read(workspace)
    seconds = time.perf_counter() - began
    status = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    kilobytes = int(next(line for line in status if line.startswith("VmHWM")).split()[1])
    print(json.dumps({"s": round(seconds, 2), "mb": round(kilobytes / 1024)}))


if __name__ == "__main__":
    main()
