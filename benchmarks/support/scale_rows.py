"""A database of many articles beside one of few: every command, every section of the page, every statement.

`scale.py` says what the figures are, and calls `measure`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event, text

from benchmarks.support import common, scale_commands, scale_database
from benchmarks.support.scale_commands import Place
from benchmarks.support.scale_database import Size

SHOWN = 15
"""Statements that are reported: the slowest."""


def measure(
    url: str, folder: Path, sizes: tuple[Size, Size], *, by_people: int, repeats: int, quick: bool
) -> dict[str, Any]:
    """Make both databases, and measure everything in both, if `quick` only a little of it.

    `by_people` articles are annotated by people in a second setting of the larger one.
    """
    places = [make(url, folder / f"{size.articles}", size) for size in sizes]
    found: dict[str, Any] = {"built_s": {}, "database_mb": {}}
    for place, seconds in places:
        found["built_s"][str(place.size.articles)] = round(seconds)
        found["database_mb"][str(place.size.articles)] = round(megabytes(place.url))
    few, many = (place for place, _ in places)
    for place in (few, many):
        scale_commands.prepare(place)
    found |= ratios(few, many, repeats)
    for place in (few, many):
        for kind, figures in scale_commands.measure(place, quick=quick).items():
            for name, values in figures.items():
                found.setdefault(kind, {}).setdefault(name, {})[str(place.size.articles)] = values
    found["slowest_statements_s"] = slowest(many)
    return {**found, "more_by_people": people(many, by_people, quick=quick)}


def make(url: str, home: Path, size: Size) -> tuple[Place, float]:
    """Make a database; return it, and the seconds that it took."""
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
    return Place(url, home, size), time.perf_counter() - began


def megabytes(url: str) -> float:
    """Return the size of a database."""
    engine = create_engine(url)
    with engine.connect() as connection:
        found: int = connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one()
    engine.dispose()
    return found / 2**20


def ratios(few: Place, many: Place, repeats: int) -> dict[str, Any]:
    """Compare an ingest of new rows, and a fill of the review queue, among few articles and among many, in turn."""
    found: dict[str, Any] = {}
    kinds: dict[str, Callable[[Place, int], float]] = {"ingest": ingest_seconds, "review_fill": fill_seconds}
    for kind, seconds_of in kinds.items():
        times: dict[str, list[float]] = {"few": [], "many": []}
        for repeat in range(repeats):
            for name, place in (("few", few), ("many", many)):
                times[name].append(common.in_a_process(seconds_of, place, repeat)[0])
        middle = {name: statistics.median(values) for name, values in times.items()}
        found |= {
            f"{kind}_s": {
                str(place.size.articles): [round(value, 3) for value in times[name]]
                for name, place in (("few", few), ("many", many))
            },
            f"{kind}_cost_ratio": round(middle["many"] / middle["few"], 3),
        }
        print(f"{kind}: {found[f'{kind}_s']}, ratio {found[f'{kind}_cost_ratio']}", flush=True)
    return found


def ingest_seconds(place: Place, repeat: int) -> float:
    """Ingest new rows, after some that warm the process up; return the seconds of an ingest."""
    from classifier.ingest.readers import Columns
    from classifier.pipeline.ingest import units

    workspace = scale_commands.workspace(place)
    seconds = 0.0
    first = 3 * place.size.articles + repeat * (scale_commands.NEW + 100)
    for start, rows in ((first, 100), (first + 100, scale_commands.NEW)):
        path = place.home / "rows.csv"
        scale_commands.write_csv(path, place.size, start, rows)
        began = time.perf_counter()
        units.ingest_files(workspace, str(path), units.IngestOptions(Columns("text", "category", "id"), "ratio"))
        seconds = time.perf_counter() - began
    return seconds


def fill_seconds(place: Place, _: int) -> float:
    """Empty the champion's review queue and fill it; return the seconds of the second time."""
    from classifier.pipeline.review import review_queue

    workspace = scale_commands.workspace(place)
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


_EMPTY = "DELETE FROM review_queue USING models WHERE models.id = model_id AND models.status = 'champion'"


def slowest(place: Place) -> dict[str, float]:
    """Make every call of the store; return the slowest statements, by call and name, with their seconds."""
    from classifier.store import queries
    from classifier.store.connections import connect
    from tests.support.statements import CALLS, Database

    database, times, call = connect(place.url), {}, ""

    @event.listens_for(database, "before_cursor_execute")
    def begin(_connection: Any, _cursor: Any, _statement: str, _values: Any, context: Any, _many: bool) -> None:
        context.began = time.perf_counter()

    @event.listens_for(database, "after_cursor_execute")
    def end(_connection: Any, _cursor: Any, statement: str, _values: Any, context: Any, _many: bool) -> None:
        key = f"{call}: {queries.describe(statement)}"
        times[key] = max(times.get(key, 0.0), time.perf_counter() - context.began)

    for call, make_call in CALLS.items():  # noqa: B007 - the listener reads it
        with database.connect() as connection:
            make_call(connection, Database(connection, place.size.articles))
    database.dispose()
    order = sorted(times.items(), key=lambda item: -item[1])[:SHOWN]
    for name, seconds in order:
        print(f"{seconds:8.2f} s  {name}")
    return {name: round(seconds, 2) for name, seconds in order}


def people(place: Place, by_people: int, *, quick: bool) -> dict[str, Any]:
    """Let people have annotated more; return the readings', the sections' and the slowest statements' figures."""
    from classifier.store.connections import connect

    size = Size(place.size.articles, max(by_people, place.size.annotated), by_people, place.size.categories)
    database = connect(place.url)
    scale_database.annotate_again(database, size)
    database.dispose()
    figures = scale_commands.read(place, quick=quick)
    return {"by_people": by_people, **figures, "slowest_statements_s": slowest(place)}
