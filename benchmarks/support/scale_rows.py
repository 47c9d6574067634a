"""Measure every command, section of the page and statement in a large and in a small database.

`scale.py` calls `measure` and documents the figures.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event, text

from benchmarks.support import common, scale_commands, scale_database
from benchmarks.support.scale_commands import ScaleWorkspace
from benchmarks.support.scale_database import Size

SHOWN = 15
"""The number of slowest statements that are reported."""


def measure(
    url: str, folder: Path, sizes: tuple[Size, Size], *, by_people: int, repeats: int, quick: bool
) -> dict[str, Any]:
    """Create both databases and measure everything in both, or with `quick` only a part.

    At the end, `by_people` articles of the large database are annotated by people, and it is measured again.
    """
    targets = [make(url, folder / f"{size.articles}", size) for size in sizes]
    results: dict[str, Any] = {"built_s": {}, "database_mb": {}}
    for target, seconds in targets:
        results["built_s"][str(target.size.articles)] = round(seconds)
        results["database_mb"][str(target.size.articles)] = round(megabytes(target.url))
    few, many = (target for target, _ in targets)
    for target in (few, many):
        scale_commands.prepare(target)
    results |= ratios(few, many, repeats)
    for target in (few, many):
        for kind, figures in scale_commands.measure(target, quick=quick).items():
            for name, values in figures.items():
                results.setdefault(kind, {}).setdefault(name, {})[str(target.size.articles)] = values
    results["slowest_statements_s"] = slowest(many)
    return {**results, "more_by_people": people(many, by_people, quick=quick)}


def make(url: str, home: Path, size: Size) -> tuple[ScaleWorkspace, float]:
    """Create a database; return it and the seconds that this took."""
    from classifier.store import schema
    from classifier.store.connections import connect

    home.mkdir(parents=True)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    name = f"articles_{size.articles}"
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    url = engine.url.set(database=name).render_as_string(hide_password=False)
    database = connect(url)
    with database.connect() as connection:
        schema.upgrade(connection)
    began = time.perf_counter()
    scale_database.build(database, size)
    database.dispose()
    return ScaleWorkspace(url, home, size), time.perf_counter() - began


def megabytes(url: str) -> float:
    """Return the size of a database in MB."""
    engine = create_engine(url)
    with engine.connect() as connection:
        size: int = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
    engine.dispose()
    return size / 2**20


def ratios(few: ScaleWorkspace, many: ScaleWorkspace, repeats: int) -> dict[str, Any]:
    """Compare an ingest and a fill of the review queue in the small and in the large database, in turn."""
    results: dict[str, Any] = {}
    kinds: dict[str, Callable[[ScaleWorkspace, int], float]] = {"ingest": ingest_seconds, "review_fill": fill_seconds}
    for kind, seconds_of in kinds.items():
        times: dict[str, list[float]] = {"few": [], "many": []}
        for repeat in range(repeats):
            for name, target in (("few", few), ("many", many)):
                times[name].append(common.run_in_process(seconds_of, target, repeat)[0])
        medians = {name: statistics.median(values) for name, values in times.items()}
        results |= {
            f"{kind}_s": {
                str(target.size.articles): [round(value, 3) for value in times[name]]
                for name, target in (("few", few), ("many", many))
            },
            f"{kind}_cost_ratio": round(medians["many"] / medians["few"], 3),
        }
        print(f"{kind}: {results[f'{kind}_s']}, ratio {results[f'{kind}_cost_ratio']}", flush=True)
    return results


def ingest_seconds(target: ScaleWorkspace, repeat: int) -> float:
    """Ingest new rows, after some to warm the process up; return the seconds of the second ingest."""
    from classifier.ingest.readers import Columns
    from classifier.pipeline.ingest import units

    workspace = scale_commands.workspace(target)
    seconds = 0.0
    first = 3 * target.size.articles + repeat * (scale_commands.NEW + 100)
    for start, rows in ((first, 100), (first + 100, scale_commands.NEW)):
        path = target.home / "rows.csv"
        scale_commands.write_csv(path, target.size, start, rows)
        began = time.perf_counter()
        units.ingest_files(workspace, str(path), units.IngestOptions(Columns("text", "category", "id"), "ratio"))
        seconds = time.perf_counter() - began
    return seconds


def fill_seconds(target: ScaleWorkspace, _: int) -> float:
    """Empty and fill the champion's review queue twice; return the seconds of the second fill."""
    from classifier.pipeline.review import review_queue

    workspace = scale_commands.workspace(target)
    seconds = 0.0
    for _warm in range(2):
        with workspace.database.begin() as connection:
            connection.execute(
                text("DELETE FROM review_queue USING models WHERE status = 'champion' AND id = model_id")
            )
        began = time.perf_counter()
        review_queue.fill_queue(workspace)
        seconds = time.perf_counter() - began
    return seconds


def slowest(target: ScaleWorkspace) -> dict[str, float]:
    """Call every function of the store; return the seconds of the slowest statements by call and name."""
    from classifier.store import queries
    from classifier.store.connections import connect
    from tests.support.statements import CALLS, Database

    database, times, call = connect(target.url), {}, ""

    @event.listens_for(database, "before_cursor_execute")
    def begin(_connection: Any, _cursor: Any, _statement: str, _values: Any, context: Any, _many: bool) -> None:
        context.began = time.perf_counter()

    @event.listens_for(database, "after_cursor_execute")
    def end(_connection: Any, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool) -> None:
        key = f"{call}: {queries.describe(statement)}"
        times[key] = max(times.get(key, 0.0), time.perf_counter() - context.began)

    for call, make_call in CALLS.items():  # noqa: B007 - the listener reads it
        with database.connect() as connection:
            make_call(connection, Database(connection, target.size.articles))
    database.dispose()
    order = sorted(times.items(), key=lambda item: -item[1])[:SHOWN]
    for name, seconds in order:
        print(f"{seconds:8.2f} s  {name}")
    return {name: round(seconds, 2) for name, seconds in order}


def people(target: ScaleWorkspace, by_people: int, *, quick: bool) -> dict[str, Any]:
    """Add annotations by people; return the figures of readings, sections and slowest statements."""
    from classifier.store.connections import connect

    size = Size(target.size.articles, max(by_people, target.size.annotated), by_people, target.size.categories)
    database = connect(target.url)
    scale_database.annotate_again(database, size)
    database.dispose()
    figures = scale_commands.read(target, quick=quick)
    return {"by_people": by_people, **figures, "slowest_statements_s": slowest(target)}
