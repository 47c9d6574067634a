"""Measure how soon readers see a renamed and a merged category, with a million predictions, and what reading costs.

python -m benchmarks.speed.categories --out benchmarks/results/categories.json
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, create_engine, text

from benchmarks.speed import rollback
from benchmarks.support import common

READ_ALL = "SELECT count(label), count(confidence) FROM article_labels"
ONE = "SELECT label FROM article_labels WHERE article_id = :article"
PLAN = "EXPLAIN (COSTS OFF) SELECT * FROM article_labels WHERE source = 'synthetic' AND external_id = '77'"


def main() -> None:
    """Fill a database, change its categories repeatedly, and report."""
    parser = common.parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="articles, and predictions of each of two models")
    parser.add_argument("--repeats", type=int, default=3, help="changes and readings of all labels")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.repeats = 1_000, 1
    with tempfile.TemporaryDirectory() as folder:
        report(measure(Path(folder), options), options)


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Return the seconds of the changes, those of reading all labels before and after them, and whether plans stay."""
    from classifier import embedded_postgres
    from classifier.settings import Settings
    from classifier.store import schema
    from classifier.store.connections import connect
    from classifier.workspace import Workspace

    url = embedded_postgres.start(folder / "postgres", "articles")["articles"]
    database = connect(url, statement_timeout_s=3600)
    workspace = Workspace(database, Settings(home=folder, _env_file=None))
    with database.connect() as connection:
        schema.upgrade(connection)
    rollback.fill(workspace, options.rows)
    with database.connect() as connection:
        first, second, *_ = connection.scalar(text("SELECT categories FROM models WHERE name = 'm2'"))
    reader = create_engine(url)
    plan, figures = explain(reader), dict[str, Any](read_s=read_all(reader, options.repeats))
    figures["rename_s"] = change(workspace, reader, options, "rename", [first], "renamed")
    figures["read_renamed_s"] = read_all(reader, options.repeats)
    same = explain(reader) == plan
    figures["merge_s"] = change(workspace, reader, options, "merge", [second, "renamed"], "merged")
    figures["read_merged_s"] = read_all(reader, options.repeats)
    figures["same_plan"] = same and explain(reader) == plan
    reader.dispose()
    database.dispose()
    embedded_postgres.leave(folder / "postgres")
    return figures


def change(
    workspace: Any, reader: Engine, options: argparse.Namespace, kind: str, names: list[str], target: str
) -> list[float]:
    """Return the seconds from each call until a reader sees the change; all but the last one are undone."""
    from classifier.pipeline.categories import changes

    seconds = []
    with reader.connect() as connection:
        labels = {
            article: connection.scalar(text(ONE), {"article": article}) for article in range(1, min(100, options.rows))
        }
    article = next(article for article, label in labels.items() if label in names)
    for repeat in range(options.repeats):
        started = time.perf_counter()
        changes.change_categories(workspace, kind, names, [target], changed_by="benchmark")
        with reader.connect() as connection:
            seen = connection.scalar(text(ONE), {"article": article})
        seconds.append(time.perf_counter() - started)
        assert seen == target, seen
        if repeat < options.repeats - 1:
            changes.undo_change(workspace, changed_by="benchmark")
    return seconds


def read_all(reader: Engine, repeats: int) -> list[float]:
    """Return the seconds of reading all labels."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        with reader.connect() as connection:
            connection.execute(text(READ_ALL)).one()
        seconds.append(time.perf_counter() - started)
    return seconds


def explain(reader: Engine) -> list[str]:
    """Return the plan of looking up one label."""
    with reader.connect() as connection:
        return list(connection.execute(text(PLAN)).scalars())


def report(figures: dict[str, Any], options: argparse.Namespace) -> None:
    """Print the medians and report."""
    medians = {name: statistics.median(values) for name, values in figures.items() if name.endswith("_s")}
    run = {
        "dataset": f"synthetic, {options.rows} articles and {2 * options.rows} predictions of 3 categories",
        **{name: round(value, 3) for name, value in medians.items()},
        "rename_s_at_most": round(max(figures["rename_s"]), 3),
        "merge_s_at_most": round(max(figures["merge_s"]), 3),
        "read_renamed_ratio": round(medians["read_renamed_s"] / medians["read_s"], 3),
        "read_merged_ratio": round(medians["read_merged_s"] / medians["read_s"], 3),
        "same_plan": "yes" if figures["same_plan"] else "no",
        "repeats": options.repeats,
    }
    print(f"a rename is seen after {run['rename_s']} s, a merge after {run['merge_s']} s")
    common.report([run], options.out)


if __name__ == "__main__":
    main()
