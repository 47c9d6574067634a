"""How soon the classifier's page answers, with a million labelled articles and 20 requests a second.

A real API server of Airflow, on loopback, with its metadata in Postgres. Requests are sent when they are due,
whatever became of those before, so a slow answer delays none of them and hides in no average.

python -m benchmarks.speed.page --out benchmarks/results/page.json
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.speed import rollback
from benchmarks.support import common

MIX = {"/": 10, "/sections/backlog": 6, "/models": 2, "/models/m2": 1, "/problems": 1, "/watching": 1, "/review": 1}
"""How often each is asked for: most look at the overview, which asks for its live part again."""


def main() -> None:
    """Fill a database, start the server, ask it, and report."""
    parser = common.parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="articles, each labelled by two models")
    parser.add_argument("--rate", type=float, default=20, help="requests a second")
    parser.add_argument("--seconds", type=float, default=60, help="how long to ask")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.seconds = 2_000, 5
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with served(home, options.rows) as (address, token):
            first = asyncio.run(ask(address, token, 1, 1))  # what was never read before is waited for
            seconds = asyncio.run(ask(address, token, options.rate, options.seconds))
    report(first, seconds, options)


@contextmanager
def served(home: Path, rows: int) -> Iterator[tuple[str, str]]:
    """Fill a database and serve the page; yield its address and a viewer's token."""
    from classifier import embedded_postgres
    from classifier.local_airflow import standalone
    from classifier.local_airflow.standalone import AirflowConfig

    urls = embedded_postgres.start(home / "postgres", "articles", "airflow")
    fill(home, urls["articles"], rows)
    port = standalone.free_port(0)
    place = AirflowConfig(common.ROOT, home, home / "models", home, urls["articles"], urls["airflow"], port)
    standalone.password(place.passwords)
    environment = standalone.environment(os.environ, place)
    command = [sys.executable, "-m", "airflow"]
    subprocess.run([*command, "db", "migrate"], env=environment, check=True, capture_output=True)
    with (home / "server.log").open("wb") as said:
        server = subprocess.Popen([*command, "api-server"], env=environment, stdout=said, stderr=said)
        try:
            yield place.address, logged_in(place)
        finally:
            server.terminate()
            server.wait(60)
    embedded_postgres.leave(home / "postgres")


def fill(home: Path, url: str, rows: int) -> None:
    """Make articles with labels of two models, the second of them evaluated."""
    from classifier.settings import Settings
    from classifier.store import schema
    from classifier.store.connections import connect
    from classifier.workspace import Workspace

    database = connect(url, statement_timeout_s=3600)
    with database.connect() as connection:
        schema.upgrade(connection)
    rollback.fill(Workspace(database, Settings(home=home, _env_file=None)), rows)
    evaluated(database)
    database.dispose()


def evaluated(database: Any) -> None:
    """Store an evaluation of the champion on 2,000 made-up test articles."""
    import numpy as np

    from classifier.evaluation import results
    from classifier.evaluation.metrics import compute_metrics
    from classifier.evaluation.test_articles import Predictions, TestArticles
    from classifier.store import reads, writes

    names, count, generator = ("business", "sport", "tech"), 2_000, np.random.default_rng(0)
    truth = generator.integers(0, 3, count)
    probabilities = generator.dirichlet((1, 1, 1), count) * 0.3 + np.eye(3)[truth] * 0.7
    strings, ones = np.array(names)[truth], np.ones(count, dtype=np.int64)
    sample = TestArticles(
        np.arange(count), strings, np.arange(count), np.full(count, "s"), ones, np.full(count, "2026-01")
    )
    found = Predictions(names, probabilities)
    metrics = {
        **compute_metrics(list(strings), list(found.predicted)).as_json(),
        "baseline": compute_metrics(list(strings), list(strings)).as_json(),
        "engine": "made up",
        "articles_per_second": 100.0,
        "report": results.build_results(sample, found, strings),
    }
    values = {"data_sha256": "made up", "articles": count, "accuracy": 1.0, "macro_f1": 1.0, "metrics": metrics}
    with database.begin() as connection:
        champion = reads.champion(connection)
        assert champion is not None
        writes.add_evaluation(connection, champion.id, "test", values)


def logged_in(place: Any) -> str:
    """Wait for the server, and return a token."""
    from classifier.local_airflow import rest_client, standalone

    with rest_client.RestClient(place.address) as client:
        end = time.monotonic() + 120
        while not client.is_up() and time.monotonic() < end:
            time.sleep(0.5)
    body = {"username": standalone.USER, "password": standalone.password(place.passwords)}
    answer = httpx.post(f"{place.address}/auth/token", json=body, trust_env=False)
    return str(answer.raise_for_status().json()["access_token"])


async def ask(address: str, token: str, rate: float, seconds: float) -> dict[str, list[float]]:
    """Ask for pages at a steady rate; return, by page, the seconds from when each was due until it was there."""
    choose = random.Random(0)
    found: dict[str, list[float]] = defaultdict(list)
    limits = httpx.Limits(max_connections=100)
    headers = {"Cookie": f"_token={token}"}
    async with httpx.AsyncClient(
        base_url=address, headers=headers, timeout=60, limits=limits, trust_env=False
    ) as client:
        began = time.perf_counter()

        async def one(path: str, due: float) -> None:
            answer = await client.get(f"/classifier{path}")
            found[path].append(time.perf_counter() - began - due)
            answer.raise_for_status()
            assert "does not answer in time" not in answer.text, path

        tasks = []
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, number / rate - (time.perf_counter() - began)))
            (path,) = choose.choices(list(MIX), list(MIX.values()))
            tasks.append(asyncio.create_task(one(path, number / rate)))
        await asyncio.gather(*tasks)
    return found


def report(first: dict[str, list[float]], found: dict[str, list[float]], options: argparse.Namespace) -> None:
    """Print a table for people and a line of JSON for programs."""
    every = [one for seconds in found.values() for one in seconds]
    run = {
        "dataset": f"made up, {options.rows} articles, each labelled by two models",
        "requests_per_s": options.rate,
        "requests": len(every),
        **percentiles(every),
        "first_ms": round(1000 * max(one for seconds in first.values() for one in seconds), 1),
        "by_page": {path: {"requests": len(seconds), **percentiles(seconds)} for path, seconds in found.items()},
    }
    for path, figures in run["by_page"].items():
        print(f"{path:20} {figures}")
    print(f"{'all':20} {percentiles(every)}")
    common.report([run], options.out)


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return the median, the 95th and the 99th percentile, and the longest, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else [*seconds] * 99
    values = {"p50_ms": cuts[49], "p95_ms": cuts[94], "p99_ms": cuts[98], "max_ms": max(seconds)}
    return {name: round(1000 * value, 1) for name, value in values.items()}


if __name__ == "__main__":
    main()
