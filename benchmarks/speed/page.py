"""Measure the response time of the classifier's page with a million labelled articles and 20 requests a second.

A real API server of Airflow runs on loopback, with its metadata in Postgres. Each request is sent when it is due, even
if earlier responses are missing. So a slow response delays no request, and each is measured from its due time.

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

MIX = {"/": 10, "/sections/backlog": 6, "/models": 2, "/models/m2": 1, "/problems": 1, "/drift": 1, "/review": 1}
"""The weights of the requests: most users look at the overview, which reloads its live part."""


def main() -> None:
    """Fill a database, start the server, send requests, and report."""
    parser = common.parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000, help="articles, each labelled by two models")
    parser.add_argument("--rate", type=float, default=20, help="requests a second")
    parser.add_argument("--seconds", type=float, default=60, help="seconds of requests")
    options = parser.parse_args()
    if options.quick:
        options.rows, options.seconds = 2_000, 5
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with served(home, options.rows) as (address, token):
            first = asyncio.run(
                request(address, token, 1, 1)
            )  # the first response waits for data, later ones use the cache
            seconds = asyncio.run(request(address, token, options.rate, options.seconds))
    report(first, seconds, options)


@contextmanager
def served(home: Path, rows: int) -> Iterator[tuple[str, str]]:
    """Fill a database and serve the page; yield its address and a token."""
    from classifier import embedded_postgres
    from classifier.local_airflow import standalone
    from classifier.local_airflow.standalone import AirflowConfig

    urls = embedded_postgres.start(home / "postgres", "articles", "airflow")
    fill(home, urls["articles"], rows)
    port = standalone.free_port(0)
    config = AirflowConfig(common.ROOT, home, home / "models", home, urls["articles"], urls["airflow"], port)
    standalone.password(config.passwords)
    environment = standalone.environment(os.environ, config)
    command = [sys.executable, "-m", "airflow"]
    subprocess.run([*command, "db", "migrate"], env=environment, check=True, capture_output=True)
    with (home / "server.log").open("wb") as output:
        server = subprocess.Popen([*command, "api-server"], env=environment, stdout=output, stderr=output)
        try:
            yield config.address, log_in(config)
        finally:
            server.terminate()
            server.wait(60)
    embedded_postgres.leave(home / "postgres")


def fill(home: Path, url: str, rows: int) -> None:
    """Create articles with predictions of two models, the second of them evaluated."""
    from classifier.settings import Settings
    from classifier.store import schema
    from classifier.store.connections import connect
    from classifier.workspace import Workspace

    database = connect(url, statement_timeout_s=3600)
    with database.connect() as connection:
        schema.upgrade(connection)
    rollback.fill(Workspace(database, Settings(home=home, _env_file=None)), rows)
    add_evaluation(database)
    database.dispose()


def add_evaluation(database: Any) -> None:
    """Store an evaluation of the champion on 2,000 synthetic test articles."""
    import numpy as np

    from classifier.evaluation import results
    from classifier.evaluation.metrics import compute_metrics
    from classifier.evaluation.test_articles import Predictions, TestArticles
    from classifier.store import evaluations, model_rows

    names, count, generator = ("business", "sport", "tech"), 2_000, np.random.default_rng(0)
    truth = generator.integers(0, 3, count)
    probabilities = generator.dirichlet((1, 1, 1), count) * 0.3 + np.eye(3)[truth] * 0.7
    strings, ones = np.array(names)[truth], np.ones(count, dtype=np.int64)
    sample = TestArticles(
        np.arange(count), strings, np.arange(count), np.full(count, "s"), ones, np.full(count, "2026-01")
    )
    predictions = Predictions(names, probabilities)
    metrics = {
        **compute_metrics(list(strings), list(predictions.predicted)).as_json(),
        "baseline": compute_metrics(list(strings), list(strings)).as_json(),
        "engine": "synthetic",
        "articles_per_second": 100.0,
        "report": results.build_results(sample, predictions, strings),
    }
    values = {"data_sha256": "synthetic", "articles": count, "accuracy": 1.0, "macro_f1": 1.0, "metrics": metrics}
    with database.begin() as connection:
        champion = model_rows.champion(connection)
        assert champion is not None
        evaluations.add(connection, champion.id, "test", values)


def log_in(config: Any) -> str:
    """Wait for the server; return a token."""
    from classifier.local_airflow import rest_client, standalone

    with rest_client.RestClient(config.address) as client:
        end = time.monotonic() + 120
        while not client.is_up() and time.monotonic() < end:
            time.sleep(0.5)
    body = {"username": standalone.USER, "password": standalone.password(config.passwords)}
    response = httpx.post(f"{config.address}/auth/token", json=body, trust_env=False)
    return str(response.raise_for_status().json()["access_token"])


async def request(address: str, token: str, rate: float, seconds: float) -> dict[str, list[float]]:
    """Request pages at a steady rate; return by page the seconds from each due time to the response."""
    choose = random.Random(0)
    latencies: dict[str, list[float]] = defaultdict(list)
    limits = httpx.Limits(max_connections=100)
    headers = {"Cookie": f"_token={token}"}
    async with httpx.AsyncClient(
        base_url=address, headers=headers, timeout=60, limits=limits, trust_env=False
    ) as client:
        began = time.perf_counter()

        async def request_page(path: str, due: float) -> None:
            response = await client.get(f"/classifier{path}")
            latencies[path].append(time.perf_counter() - began - due)
            response.raise_for_status()
            assert "does not answer in time" not in response.text, path

        tasks = []
        for number in range(round(rate * seconds)):
            await asyncio.sleep(max(0.0, number / rate - (time.perf_counter() - began)))
            (path,) = choose.choices(list(MIX), list(MIX.values()))
            tasks.append(asyncio.create_task(request_page(path, number / rate)))
        await asyncio.gather(*tasks)
    return latencies


def report(first: dict[str, list[float]], latencies: dict[str, list[float]], options: argparse.Namespace) -> None:
    """Print a table and report."""
    every = [latency for page in latencies.values() for latency in page]
    run = {
        "dataset": f"synthetic, {options.rows} articles, each labelled by two models",
        "requests_per_s": options.rate,
        "requests": len(every),
        **percentiles(every),
        "first_ms": round(1000 * max(latency for page in first.values() for latency in page), 1),
        "by_page": {path: {"requests": len(seconds), **percentiles(seconds)} for path, seconds in latencies.items()},
    }
    for path, figures in run["by_page"].items():
        print(f"{path:20} {figures}")
    print(f"{'all':20} {percentiles(every)}")
    common.report([run], options.out)


def percentiles(seconds: Sequence[float]) -> dict[str, float]:
    """Return the median, the 95th and 99th percentile and the maximum, in milliseconds."""
    cuts = statistics.quantiles(seconds, n=100, method="inclusive") if len(seconds) > 1 else [*seconds] * 99
    values = {"p50_ms": cuts[49], "p95_ms": cuts[94], "p99_ms": cuts[98], "max_ms": max(seconds)}
    return {name: round(1000 * value, 1) for name, value in values.items()}


if __name__ == "__main__":
    main()
