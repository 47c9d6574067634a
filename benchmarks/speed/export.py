"""Measure `classifier export` in labels a second, next to COPY of the same view to a file, with a million labels.

Both read a database with a year of work on it: annotations by sources and people, and predictions of three models.
They run in turn, each in a process of its own, so its memory can be measured; imports are not timed. COPY streams the
view as CSV to the client, in the order of the ids as the export does.

    python -m benchmarks.speed.export --out benchmarks/results/export.json
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.support import common, scale_database

FORMATS = ("csv", "jsonl", "parquet")
COPY = (
    "COPY (SELECT * FROM article_labels WHERE label IS NOT NULL ORDER BY article_id) "
    "TO STDOUT WITH (FORMAT csv, HEADER)"
)


def main() -> None:
    """Fill a database, export it in every format in turn with COPY, and report."""
    parser = common.parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="articles; nearly all of them have a label")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.quick:
        options.rows, options.repeats = 2_000, 1
    with tempfile.TemporaryDirectory() as folder:
        common.report(measure(Path(folder), options), options.out)


def measure(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a run for each format."""
    from classifier import embedded_postgres
    from classifier.store import schema
    from classifier.store.connections import connect

    url = embedded_postgres.start(folder / "postgres", "articles")["articles"]
    database = connect(url)
    with database.connect() as connection:
        schema.upgrade(connection)
    scale_database.build(database, scale_database.usual(options.rows))
    database.dispose()
    contenders: dict[str, tuple[Callable[..., tuple[int, float]], str]] = {
        "copy": (copy, "csv"),
        **{kind: (export, kind) for kind in FORMATS},
    }
    results: dict[str, list[tuple[int, float, float]]] = {name: [] for name in contenders}
    for _ in range(options.repeats):
        for name, (function, kind) in contenders.items():
            (labels, seconds), peak = common.run_in_process(function, url, str(folder / f"labels.{kind}"))
            results[name].append((labels, seconds, peak))
            print(f"{name}: {labels:,} labels in {seconds:.1f} s, {peak:.0f} MB", flush=True)
    embedded_postgres.leave(folder / "postgres")
    return [summary(kind, results[kind], results["copy"]) for kind in FORMATS]


def export(url: str, path: str) -> tuple[int, float]:
    """Export as the command does; return the number of labels and the seconds."""
    from classifier.pipeline.labelling import label_export
    from classifier.settings import Settings
    from classifier.store.article_labels import LabelSelection
    from classifier.store.connections import connect
    from classifier.workspace import Workspace

    workspace = Workspace(connect(url), Settings(home=Path(path).parent, _env_file=None))
    target = label_export.ExportTarget(path, overwrite=True)
    started = time.perf_counter()
    report = label_export.export_labels(workspace, LabelSelection(), target)
    return report.labels, time.perf_counter() - started


def copy(url: str, path: str) -> tuple[int, float]:
    """Stream the view into a file with COPY; return the number of labels and the seconds."""
    from classifier.store.connections import connect

    database = connect(url)
    started = time.perf_counter()
    with database.connect() as connection, Path(path).open("wb") as file, connection.connection.cursor() as cursor:
        cursor.copy_expert(COPY, file)
        labels = cursor.rowcount
    return labels, time.perf_counter() - started


def summary(kind: str, ours: list[tuple[int, float, float]], copied: list[tuple[int, float, float]]) -> dict[str, Any]:
    """Return a format's median rate, with that of COPY, and the peak memory of both."""
    rates = sorted(labels / seconds for labels, seconds, _ in ours)
    copy_rate = statistics.median(labels / seconds for labels, seconds, _ in copied)
    return {
        "dataset": f"synthetic, {ours[0][0]} labels",
        "format": kind,
        "rows_per_s": round(statistics.median(rates)),
        "spread": [round(rates[0]), round(rates[-1])],
        "copy_rows_per_s": round(copy_rate),
        "ratio_copy": round(statistics.median(rates) / copy_rate, 3),
        "max_rss_mb": round(max(peak for _, _, peak in ours)),
        "copy_max_rss_mb": round(max(peak for _, _, peak in copied)),
        "repeats": len(ours),
    }


if __name__ == "__main__":
    main()
