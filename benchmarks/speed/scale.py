"""Measure the cost of labelling without the model, by rows, history and workers, and all commands in a large database.

The engine is a fake: it sleeps a fixed time for each row, or not at all, and returns valid probabilities. Everything
else is what `classifier label` runs, in processes of their own, on an embedded Postgres with default settings. Texts
are short, because rows are measured, not texts.

- `overhead_us_per_row`: wall time for a row if the engine takes no time.
- `new_rows_cost_ratio`: labelling new rows among many labelled ones, compared with few, in turn.
- `efficiency_N_workers`: the rate of N workers, compared with N times the rate of one. Their engine sleeps, like one on
  another machine, and so long that two cores suffice for the other work of sixteen workers.
- `max_rss_mb`: a worker's memory after a tenth of the rows and at the end.
- `two_tasks_…`: adding and labelling the same articles for two tasks of one database, compared with two databases.

Then, in a database with a year's work (`scale_database.py`) and in a small one (`scale_rows.py`):

- `commands`, `sections` and `readings`: seconds and peak memory of every command of `classifier` (a process with its
  start and imports), of every section of the page, and of what training and evaluation read. If a statement exceeds its
  time limit, the figures have an `error`. Training steps are not measured: they do not depend on the database.
- `ingest_cost_ratio` and `review_fill_cost_ratio`: the same work among many articles and among few, in turn.
- `slowest_statements_s`: the slowest statements of the store; and again with more articles annotated by people.

    python -m benchmarks.speed.scale --out benchmarks/results/scale.json
    python -m benchmarks.speed.scale --articles 1000000 --parts rows     # without the cost of labelling
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import create_engine, text

from benchmarks.support import common, scale_rows
from benchmarks.support.scale_database import Size

PARTS = ["labelling", "tasks", "rows"]
CATEGORIES = ("business", "sport", "tech", "world")

ARTICLES = """
INSERT INTO articles (source, external_id, text, text_hash, fingerprint, split)
SELECT 'synthetic', 'a' || n, 'the text of article ' || n || ' is short', sha256(n::text::bytea),
    sha256(n::text::bytea), 'train'
FROM generate_series(:first, :last) AS n
"""
LABELLED = """
INSERT INTO predictions (article_id, model_id, revision, category_indices, confidence, probabilities)
SELECT id, :model, 1, '{2}', 0.7, '{0.1,0.7,0.1,0.1}' FROM articles
"""
WAITING = """
WITH added AS (
    INSERT INTO articles (source, external_id, text, text_hash, fingerprint, split)
    SELECT 'synthetic', 'a' || n, 'the text of article ' || n || ' is short', sha256(n::text::bytea),
        sha256(n::text::bytea), 'train'
    FROM generate_series(:first, :last) AS n
    RETURNING id
)
INSERT INTO labelling_queue (article_id, task_id, priority) SELECT added.id, tasks.id, 0 FROM added, tasks
"""


class FakeLabeller:
    """A labeller that takes a fixed time for each row."""

    def __init__(self, seconds_per_row: float) -> None:
        self._seconds = seconds_per_row

    def prepare(self, texts: list[str]) -> int:
        """Count the texts."""
        return len(texts)

    def run(self, count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Sleep; return probabilities that add up to 1, with every category first in turn."""
        if self._seconds:
            time.sleep(self._seconds * count)
        return (0.1 + 0.6 * np.eye(4, dtype=np.float32))[np.arange(count) % 4]


def main() -> None:
    """Start Postgres, measure and report."""
    options = arguments()
    from classifier import embedded_postgres

    with tempfile.TemporaryDirectory() as folder:
        url = embedded_postgres.start(Path(folder) / "postgres", "articles")["articles"]
        run = {"dataset": f"synthetic, {options.rows:,} short rows", "model": "fake"}
        if "labelling" in options.parts:
            run |= {**overhead(url, options), **history(url, options), **together(url, options)}
        if "tasks" in options.parts:
            run |= two_tasks(url, options)
        if "rows" in options.parts:
            few, many = (size(options, articles) for articles in (options.few, options.articles))
            by_people = round(0.3 * options.articles)
            run |= scale_rows.measure(
                url,
                Path(folder) / "rows",
                (few, many),
                by_people=by_people,
                repeats=1 if options.quick else options.repeats,
                quick=options.quick,
            )
        embedded_postgres.leave(Path(folder) / "postgres")
    common.report([run], options.out)


def size(options: argparse.Namespace, articles: int) -> Size:
    """Return the size of a database of `articles`, in the proportions of the options."""
    annotated, by_people = (
        round(articles / options.articles * count) for count in (options.annotated, options.by_people)
    )
    return Size(articles, annotated, by_people, options.categories)


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = common.parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--few", type=int, default=20_000, help="labelled rows in the small database")
    parser.add_argument("--many", type=int, default=2_000_000, help="labelled rows in the large database")
    parser.add_argument("--new", type=int, default=10_000, help="new rows in both")
    parser.add_argument("--repeats", type=int, default=7, help="repeats with new rows; everything else runs once")
    parser.add_argument("--speed", type=int, default=500, help="rows a second of the sleeping engine")
    parser.add_argument("--seconds", type=float, default=20, help="duration for each number of workers")
    workers = "numbers of workers; the others are compared with the first"
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4, 8, 16], help=workers)
    parser.add_argument("--articles", type=int, default=1_000_000, help="articles in the database with a year's work")
    parser.add_argument("--annotated", type=int, default=None, help="annotated articles; default: a fifth")
    by_people = "articles annotated by people; default: half of the annotated ones"
    parser.add_argument("--by-people", type=int, default=None, help=by_people)
    parser.add_argument("--categories", type=int, default=20)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    if options.quick:
        options.articles = 4_000
        options.rows, options.few, options.many, options.new = 20_000, 2_000, 20_000, 1_000
        options.repeats, options.seconds, options.workers = 2, 1, [1, 16]
    options.annotated = options.annotated or options.articles // 5
    options.by_people = options.by_people or options.annotated // 2
    return options


def prepare(url: str, name: str, *, labelled: int, waiting: int) -> tuple[str, int]:
    """Create a database with a champion and articles; return its URL and the champion's id."""
    from classifier.store import model_rows, schema

    url = create(url, name)
    engine = create_engine(url)
    with engine.connect() as connection:
        schema.upgrade(connection)
    with engine.begin() as connection:
        model = model_rows.register(
            connection, name="fake", artefact="none", manifest_sha256="0", categories=CATEGORIES, training={}
        )
        model_rows.make_champion(connection, model)
        connection.execute(text("UPDATE models SET backfilled_to = NULL"))
        connection.execute(text(ARTICLES), {"first": 1, "last": labelled})
        connection.execute(text(LABELLED), {"model": model})
    add(url, labelled + 1, labelled + waiting)
    settle(engine)
    return url, model


def create(url: str, name: str) -> str:
    """Create a database on the server of the URL; return its URL."""
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'))
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return engine.url.set(database=name).render_as_string(hide_password=False)


def add(url: str, first: int, last: int) -> None:
    """Add queued articles."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(WAITING), {"first": first, "last": last})
    engine.dispose()


def settle(engine: Any) -> None:
    """Vacuum, analyze and checkpoint, so that background processes do not do so during a measurement."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM (ANALYZE)"))
        connection.execute(text("CHECKPOINT"))
    engine.dispose()


def worker(
    url: str, model: int, seconds_per_row: float, limit: int | None, barrier: Any = None, task: str | None = None
) -> dict[str, float]:
    """Label in this process; return the rows, the times, and the memory in MB after a tenth and at the end."""
    from classifier.articles import Model
    from classifier.labelling import worker
    from classifier.store.connections import connect
    from classifier.store.task_rows import TASK_OPTION, TaskChoice

    database, processed, memory = connect(url).execution_options(**{TASK_OPTION: TaskChoice(task)}), 0, {}

    def on_page(labelled: int, dead: int) -> None:
        nonlocal processed
        processed += labelled + dead
        memory["rss_mb_at_the_end"] = resident()
        if limit and processed >= limit / 10:
            memory.setdefault("rss_mb_at_a_tenth", memory["rss_mb_at_the_end"])

    database.connect().close()
    if barrier is not None:
        barrier.wait()
    champion = Model(model, "fake", "champion", "none", "0", CATEGORIES)
    began = time.monotonic()
    done = worker.label_pages(database, champion, FakeLabeller(seconds_per_row), limit=limit, on_page=on_page)
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"rows": done.labelled, "began": began, "ended": time.monotonic(), "max_rss_mb": largest, **memory}


def resident() -> float:
    """Return this process's memory, in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def new_process(processes: int = 1, **more: Any) -> Pool:
    """Return a pool of new processes, independent of earlier ones."""
    return multiprocessing.get_context("spawn").Pool(processes, **more)


def overhead(url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the time and memory of claims and writes alone."""
    url, model = prepare(url, "overhead", labelled=0, waiting=options.rows)
    with new_process() as pool:
        done = pool.apply(worker, (url, model, 0.0, options.rows))
    assert done["rows"] == options.rows
    figures = {
        "overhead_us_per_row": round((done["ended"] - done["began"]) / options.rows * 1e6, 1),
        **{name: round(done[name], 1) for name in ("max_rss_mb", "rss_mb_at_a_tenth", "rss_mb_at_the_end")},
    }
    print(f"claims and writes of {options.rows:,} rows: {figures}")
    return figures


def history(url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Compare new rows among few and among many labelled ones, and the duration of `classifier status`."""
    sizes = {"few": options.few, "many": options.many}
    databases = {name: prepare(url, name, labelled=size, waiting=0) for name, size in sizes.items()}
    times: dict[str, list[float]] = {name: [] for name in sizes}
    status_ms: dict[str, list[float]] = {name: [] for name in sizes}
    for repeat in range(options.repeats):
        for name, (database, model) in databases.items():
            first = sizes[name] + repeat * options.new + 1
            add(database, first, first + options.new - 1)
            with new_process() as pool:
                pool.apply(status_seconds, (database,))  # import the modules
                done = pool.apply(worker, (database, model, 0.0, options.new))
                status_ms[name].append(1000 * pool.apply(status_seconds, (database,)))
            assert done["rows"] == options.new
            times[name].append(done["ended"] - done["began"])
    medians = {name: statistics.median(values) for name, values in times.items()}
    figures = {
        "new_rows": options.new,
        **{f"new_rows_s_among_{size}": round(medians[name], 3) for name, size in sizes.items()},
        "new_rows_spread_s": {
            str(size): [round(min(times[name]), 3), round(max(times[name]), 3)] for name, size in sizes.items()
        },
        "new_rows_cost_ratio": round(medians["many"] / medians["few"], 3),
        **{f"status_ms_among_{size}": round(statistics.median(status_ms[name]), 1) for name, size in sizes.items()},
        "repeats": options.repeats,
    }
    print(f"new rows: {figures}")
    return figures


def two_tasks(url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Compare two tasks over the same articles with two databases: adding articles, labelling them, and the space."""
    kinds = {"two_tasks": ("both",), "two_databases": ("first", "second")}
    figures: dict[str, dict[str, list[float]]] = {kind: {"add": [], "label": [], "mb": []} for kind in kinds}
    rows = options.rows // 10
    for _ in range(options.repeats):
        for kind, names in kinds.items():
            databases = [prepare(url, name, labelled=0, waiting=0) for name in names]
            jobs = [(database, model, "default") for database, model in databases]
            if kind == "two_tasks":
                jobs.append((databases[0][0], add_task(databases[0][0]), "another"))
            began = time.monotonic()
            for database, _ in databases:
                add(database, 1, rows)
            figures[kind]["add"].append(time.monotonic() - began)
            with new_process() as pool:
                done = [pool.apply(worker, (database, model, 0.0, rows, None, task)) for database, model, task in jobs]
            assert [result["rows"] for result in done] == [rows, rows]
            figures[kind]["label"].append(sum(result["ended"] - result["began"] for result in done))
            figures[kind]["mb"].append(sum(megabytes(database) for database, _ in databases))
    medians = {
        kind: {name: statistics.median(values) for name, values in of_kind.items()} for kind, of_kind in figures.items()
    }
    ours, theirs = medians["two_tasks"], medians["two_databases"]
    result = {
        "two_tasks_rows": rows,
        "two_tasks_us_per_label": round(ours["label"] / (2 * rows) * 1e6, 1),
        "two_databases_us_per_label": round(theirs["label"] / (2 * rows) * 1e6, 1),
        "two_tasks_label_ratio": round(ours["label"] / theirs["label"], 3),
        "two_tasks_add_ratio": round(ours["add"] / theirs["add"], 3),
        "two_tasks_space_ratio": round(ours["mb"] / theirs["mb"], 3),
    }
    print(f"two tasks and two databases: {result}")
    return result


def add_task(url: str) -> int:
    """Add a second task with a champion of its own; return the champion's id."""
    from classifier.store import model_rows, task_rows
    from classifier.store.task_rows import TASK_OPTION, TaskChoice

    engine = create_engine(url)
    with engine.begin() as connection:
        task_rows.add(connection, "another", "single", 1, "")
    with engine.execution_options(**{TASK_OPTION: TaskChoice("another")}).begin() as connection:
        model = model_rows.register(
            connection, name="fake2", artefact="none", manifest_sha256="0", categories=CATEGORIES, training={}
        )
        model_rows.make_champion(connection, model)
        connection.execute(text("UPDATE models SET backfilled_to = NULL"))
    engine.dispose()
    return model


def megabytes(url: str) -> float:
    """Return the size of a database."""
    engine = create_engine(url)
    with engine.connect() as connection:
        size: int = connection.scalar(text("SELECT pg_database_size(current_database())"))
    engine.dispose()
    return size / 2**20


def status_seconds(url: str) -> float:
    """Return the seconds that `classifier status` reads from the database."""
    from classifier.pipeline.monitoring import status
    from classifier.settings import Settings
    from classifier.store.connections import connect
    from classifier.workspace import Workspace

    workspace = Workspace(connect(url), Settings(_env_file=None))
    began = time.perf_counter()
    status.read_status(workspace)
    return time.perf_counter() - began


def together(url: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the rate of several workers that share a queue."""
    rows = round(options.speed * options.seconds)
    rates = {}
    for count in options.workers:
        database, model = prepare(url, "together", labelled=0, waiting=count * rows)
        context = multiprocessing.get_context("spawn")
        barrier = context.Barrier(count)
        with new_process(count, initializer=share, initargs=(barrier,)) as pool:
            done = pool.starmap(at_once, [(database, model, 1 / options.speed, rows)] * count, chunksize=1)
        assert sum(result["rows"] for result in done) == count * rows
        seconds = max(result["ended"] for result in done) - min(result["began"] for result in done)
        rates[count] = count * rows / seconds
        print(f"{count:3} workers {rates[count]:10,.0f} rows/s {rates[count] / count / rates[1]:8.1%}")
    return {
        "engine_rows_per_s": options.speed,
        "rows_per_s_by_workers": {str(count): round(rate) for count, rate in rates.items()},
        **{f"efficiency_{count}_workers": round(rates[count] / count / rates[1], 3) for count in options.workers[1:]},
    }


SHARED: dict[str, Any] = {}


def share(barrier: Any) -> None:
    """Keep the barrier at which all workers wait for one another."""
    SHARED["barrier"] = barrier


def at_once(*arguments: Any) -> dict[str, float]:
    """Label once all workers are ready."""
    return worker(*arguments, barrier=SHARED["barrier"])


if __name__ == "__main__":
    main()
