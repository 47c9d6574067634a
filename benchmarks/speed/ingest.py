"""Measure the ingest in rows a second: this project, pandas' `to_sql(method="multi")`, and a plain COPY.

All three read the same CSV file and commit its rows to an embedded Postgres with default settings. They run in turn,
several times. Ours validates, hashes, finds near-duplicates, assigns splits and upserts; the other two fill a table of
three columns with a primary key. Each runs in a process of its own, so its memory can be measured; imports are not
timed.

The rows are BBC and C50 articles, repeated with 1, 5, 20 or 60 changed words, in equal parts. So most rows are
near-duplicates.

    python -m benchmarks.speed.ingest --out benchmarks/results/ingest.json
"""

from __future__ import annotations

import argparse
import csv
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from benchmarks.support import common

TABLES = "articles, splits, clusters, cluster_bands, cluster_bridges"
PLAIN = "CREATE TABLE plain (id text PRIMARY KEY, text text NOT NULL, category text)"


def main() -> None:
    """Write the rows, start Postgres, measure and report."""
    options = arguments()
    from classifier import embedded_postgres
    from classifier.store import schema

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "articles.csv"
        write_rows(path, options.rows, options.data)
        url = embedded_postgres.start(Path(folder) / "postgres", "articles")["articles"]
        with create_engine(url).connect() as connection:
            schema.upgrade(connection)
        results = measure(url, path, options.repeats)
        results["near_duplicates"] = [run_in_process(near_duplicates, url, path) for _ in range(options.repeats)]
        embedded_postgres.leave(Path(folder) / "postgres")
    common.report([summary(results, options)], options.out)


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = common.data_parser(__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.quick:
        options.rows, options.repeats = 2_000, 1
    return options


def write_rows(path: Path, count: int, data: Path) -> None:
    """Write the rows, all with different texts."""
    originals, generator = list(read_originals(data)), random.Random(1)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "text", "category"))
        for number in range(count):
            content, category = originals[number % len(originals)]
            words = content.split(" ")
            for _ in range((1, 5, 20, 60)[number // len(originals) % 4]):
                words[generator.randrange(len(words))] = f"w{generator.randrange(10**7)}"
            writer.writerow((f"a{number}", " ".join(words), category))


def read_originals(data: Path) -> Iterator[tuple[str, str]]:
    """Yield the text and category of each article of BBC and C50."""
    yield from common.read_bbc(data)
    for part in ("train", "test"):
        yield from ((row["text"], row["author"]) for row in common.read_c50(data, part))


def measure(url: str, path: Path, repeats: int) -> dict[str, list[dict[str, float]]]:
    """Run the three in turn, each into empty tables; return their seconds and memory."""
    results: dict[str, list[dict[str, float]]] = {"ours": [], "to_sql": [], "copy": []}
    for _ in range(repeats):
        for name, function in (("ours", ours), ("to_sql", to_sql), ("copy", copy)):
            with create_engine(url).begin() as connection:
                connection.execute(text(f"TRUNCATE {TABLES} CASCADE"))
                connection.execute(text("DROP TABLE IF EXISTS plain"))
                connection.execute(text(PLAIN))
            results[name].append(run_in_process(function, url, path))
    return results


def run_in_process(function: Callable[[str, Path], float], url: str, path: Path) -> dict[str, float]:
    """Return the seconds that the function measured, and its process' peak memory in MB."""
    seconds, max_rss_mb = common.run_in_process(function, url, path)
    return {"seconds": seconds, "max_rss_mb": max_rss_mb}


def ours(url: str, path: Path) -> float:
    """Ingest the file as the command line does."""
    from classifier.ingest.readers import Columns
    from classifier.pipeline.ingest import units
    from classifier.settings import Settings
    from classifier.store.connections import connect
    from classifier.workspace import Workspace

    workspace = Workspace(connect(url, statement_timeout_s=3600), Settings(home=path.parent, _env_file=None))
    start = time.perf_counter()
    units.ingest_files(workspace, str(path), units.IngestOptions(Columns("text", "category", "id")))
    return time.perf_counter() - start


def to_sql(url: str, path: Path) -> float:
    """Read the file in chunks with pandas and insert a thousand rows a statement."""
    import pandas as pd

    engine = create_engine(url)
    start = time.perf_counter()
    with engine.begin() as connection:
        for chunk in pd.read_csv(path, chunksize=10_000):
            chunk.to_sql("plain", connection, if_exists="append", index=False, method="multi", chunksize=1000)
    return time.perf_counter() - start


def copy(url: str, path: Path) -> float:
    """Copy the unchanged file into Postgres."""
    engine = create_engine(url)
    start = time.perf_counter()
    with engine.begin() as connection, path.open("rb") as file:
        statement = "COPY plain (id, text, category) FROM STDIN WITH (FORMAT csv, HEADER)"
        connection.connection.cursor().copy_expert(statement, file, 2**20)
    return time.perf_counter() - start


def near_duplicates(url: str, path: Path) -> float:
    """Return the processor seconds of signatures and clusters, without the database."""
    from classifier.ingest import clusters, minhash_bands, readers
    from classifier.ingest.fingerprints import fingerprint
    from classifier.ingest.readers import Columns

    del url
    homes: dict[int, int] = {}
    splits: dict[int, Any] = {}
    seconds = 0.0
    for chunk in readers.read_file(path, Columns("text", "category", "id")):
        texts = chunk.frame["text"].tolist()
        fingerprints = [fingerprint(text) for text in texts]
        start = time.process_time()
        bands, _ = minhash_bands.compute_bands(texts)
        new = (
            clusters.NewText(value, tuple(row), None) for value, row in zip(fingerprints, bands.tolist(), strict=True)
        )
        # like the database, look up only the bands of these texts, so the size of `homes` does not matter
        homes_of_bands = {band: homes[band] for band in bands.ravel().tolist() if band in homes}
        placed = clusters.assign_clusters(
            new, homes_of_bands, {cluster: splits[cluster] for cluster in homes_of_bands.values()}, lambda _: "train"
        )
        seconds += time.process_time() - start
        homes |= placed.bands
        splits |= placed.clusters
    return seconds


def summary(results: dict[str, list[dict[str, float]]], options: argparse.Namespace) -> dict[str, Any]:
    """Print a table; return the run's figures."""
    rates = {name: [options.rows / run["seconds"] for run in runs] for name, runs in results.items()}
    middle = {name: statistics.median(values) for name, values in rates.items()}
    spread = {name: [round(min(values)), round(max(values))] for name, values in rates.items()}
    for name, value in middle.items():
        print(f"{name:16} {value:10,.0f} rows/s   {spread[name][0]:,} to {spread[name][1]:,}")
    return {
        "dataset": f"BBC and C50 with changed words, {options.rows} rows",
        "rows_per_s": round(middle["ours"]),
        "to_sql_rows_per_s": round(middle["to_sql"]),
        "copy_rows_per_s": round(middle["copy"]),
        "ratio_to_sql": round(middle["ours"] / middle["to_sql"], 2),
        "ratio_copy": round(middle["ours"] / middle["copy"], 2),
        "near_duplicate_rows_per_s_per_core": round(middle["near_duplicates"]),
        "max_rss_mb": round(max(run["max_rss_mb"] for run in results["ours"])),
        "repeats": options.repeats,
        "spread": {**spread, "what": "lowest and highest rows a second of each"},
    }


if __name__ == "__main__":
    main()
