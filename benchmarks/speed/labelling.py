"""Measure labelling in articles a second, from a table of Postgres back into one: this project and its alternatives.

All use an embedded Postgres with default settings, the same threads, and texts cut at 512 word pieces. They run in
turn, each in a process of its own; loading and warming up are not timed:

- ours: the worker, on a filled queue;
- hf_pipeline: `read_sql`, `transformers.pipeline("text-classification", batch_size=32)`, `to_sql`, in float32;
- hf_pipeline_bf16: the same in bfloat16;
- tutorial: `read_sql`, Keras' `predict` with all texts padded to 512, the faster of batches of 16 and 32, `to_sql`;
- engine_limit: our engine alone, on the same rows' word pieces in memory, sorted by length, in full batches.

Articles are in random order, so the slow contenders can label only the first rows: their rate does not depend on the
number of rows. Weights are random, except for the demo's encoder. `--quick` uses a few of R8's articles and only the
demo's encoder.

    python -m benchmarks.speed.labelling --out benchmarks/results/labelling.json
"""

from __future__ import annotations

import argparse
import csv
import logging
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import create_engine, text

from benchmarks.support import common

MAX_LENGTH = 512
HF_BATCH = 32
FIXED_LENGTHS = (128, 256, 512)
BASE, SMALL = "DistilBERT-base shape", "demo's 22 M"


@dataclass(frozen=True)
class Task:
    """The input of each contender, which labels the first `rows` of the table."""

    url: str
    artefact: Path
    home: Path
    rows: int
    page_size: int


@dataclass(frozen=True)
class Timing:
    """The labelled rows and their seconds, with further figures."""

    rows: int
    seconds: float
    more: dict[str, float]


def main() -> None:
    """Fill a database for each data set, write the models, run the contenders in turn, and report."""
    options = arguments()
    encoder, (train, test) = common.demo_data(options.cache)
    data, models = {"R8": ([*train, *test], options.r8_rows)}, [SMALL]
    if not options.quick:
        data["BBC"], models = (common.read_bbc(options.data), options.bbc_rows), [BASE, SMALL]
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for dataset, (rows, count) in data.items():
            categories = tuple(sorted({category for _, category in rows}))
            url = fill(Path(folder), dataset, random.Random(1).sample(rows, min(count, len(rows))))
            for model in models:
                target = Path(folder) / f"{dataset} {model[:4]}"
                artefact = common.make_model(target, encoder, categories, base=model == BASE, max_length=MAX_LENGTH)
                task = Task(url, artefact, Path(folder) / "home", min(count, len(rows)), options.page_size)
                runs.append({"dataset": dataset, "model": model, **measure(task, options)})
                print_run(runs[-1])
        target, base = Path(folder) / "fixed", models[0] == BASE
        fixed_at = common.make_model(target, encoder, ("one", "other"), base=base, max_length=MAX_LENGTH)
        runs.append({"model": models[0], **fixed_lengths(Task("", fixed_at, Path(folder) / "home", 24, 0), options)})
        stop_postgres(Path(folder))
    common.report(runs, options.out)


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = common.data_parser(__doc__)
    parser.add_argument("--r8-rows", type=int, default=2048)
    parser.add_argument("--bbc-rows", type=int, default=640)
    parser.add_argument("--slow-rows", type=float, default=0.1, help="share of the rows for hf_pipeline")
    parser.add_argument("--tutorial-rows", type=int, default=32)
    parser.add_argument("--page-size", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=3)
    slow_repeats = "repeats of hf_pipeline in float32 and of the tutorial"
    parser.add_argument("--slow-repeats", type=int, default=2, help=slow_repeats)
    options = parser.parse_args()
    if options.quick:
        options.r8_rows, options.bbc_rows, options.tutorial_rows = 12, 4, 2
        options.slow_rows, options.repeats, options.slow_repeats = 0.5, 1, 1
    return options


def fill(folder: Path, dataset: str, rows: list[common.Row]) -> str:
    """Ingest the rows into a new database; return its URL."""
    from classifier import embedded_postgres
    from classifier.ingest.readers import Columns
    from classifier.pipeline.ingest import units
    from classifier.settings import Settings
    from classifier.store import schema
    from classifier.store.connections import connect
    from classifier.workspace import Workspace

    server = embedded_postgres.start(folder / "postgres", "articles")["articles"]
    with create_engine(server, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text(f"CREATE DATABASE {dataset.lower()}"))
    url = server.replace("/articles?", f"/{dataset.lower()}?")
    database = connect(url, statement_timeout_s=3600)
    with database.connect() as connection:
        schema.upgrade(connection)
    path = folder / f"{dataset}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "text"), *((number, content) for number, (content, _) in enumerate(rows))])
    units.ingest_files(
        Workspace(database, Settings(home=folder, _env_file=None)),
        str(path),
        units.IngestOptions(Columns("text", None, "id")),
    )
    database.dispose()
    return url


def stop_postgres(folder: Path) -> None:
    """Stop Postgres."""
    from classifier import embedded_postgres

    embedded_postgres.leave(folder / "postgres")


def measure(task: Task, options: argparse.Namespace) -> dict[str, Any]:
    """Run the contenders in turn; return the run's figures."""
    slow = max(1, round(task.rows * options.slow_rows))
    plan: dict[str, tuple[Contender, int, int]] = {
        "ours": (ours, task.rows, options.repeats),
        "engine_limit": (engine_limit, task.rows, options.repeats),
        "hf_pipeline": (hf_pipeline, slow, options.slow_repeats),
        "hf_pipeline_bf16": (hf_pipeline_bf16, slow, options.repeats),
        "tutorial": (tutorial, min(task.rows, options.tutorial_rows), options.slow_repeats),
    }
    timings: dict[str, list[Timing]] = {name: [] for name in plan}
    for repeat in range(options.repeats):
        for name, (contender, rows, repeats) in plan.items():
            if repeat < repeats:
                timing, _ = common.run_in_process(contender, replace(task, rows=rows))
                timings[name].append(timing)
    return figures(timings, task)


def figures(timings: dict[str, list[Timing]], task: Task) -> dict[str, Any]:
    """Return the medians, their ratios and spreads, by the keys of the result."""
    rates = {name: [run.rows / run.seconds for run in runs] for name, runs in timings.items()}
    middle = {name: statistics.median(values) for name, values in rates.items()}
    names = {name: "docs_per_s" if name == "ours" else f"{name}_docs_per_s" for name in rates}
    return {
        **{names[name]: round(value, 2) for name, value in middle.items()},
        **{f"ratio_{name}": round(middle["ours"] / middle[name], 3) for name in middle if name != "ours"},
        **{key: round(value, 4) for key, value in timings["ours"][-1].more.items()},
        "rows": {name: runs[0].rows for name, runs in timings.items()},
        "repeats": {name: len(runs) for name, runs in timings.items()},
        "page_size": task.page_size,
        "spread": {name: [round(min(values), 2), round(max(values), 2)] for name, values in rates.items()},
        "load_1m": round(os.getloadavg()[0], 1),
    }


def print_run(run: dict[str, Any]) -> None:
    """Print the rates and ratios of a run."""
    print(f"{run['dataset']}, {run['model']}")
    for key, value in run.items():
        if "docs_per_s" in key or key.startswith("ratio_"):
            print(f"  {key:28} {value:10.2f}", flush=True)


def ours(task: Task) -> Timing:
    """Label the queue with the worker; also return the share of padding and the cost of tokenizing."""
    from classifier import registry
    from classifier.labelling import worker
    from classifier.model import artefact
    from classifier.store import model_rows
    from classifier.store.connections import connect

    labeller = load(task)
    texts = read_texts(task)
    labeller.probabilities(["warm up " * count for count in range(1, MAX_LENGTH // 2 + 8, 4)])
    database = connect(task.url, statement_timeout_s=3600)
    with database.begin() as connection:
        connection.execute(text("TRUNCATE predictions"))
        model = registry.register(connection, registry.new_name(), artefact.read_artefact(task.artefact), {})
        model_rows.make_champion(connection, model.id)
        # the articles are queued below, so there is no backlog to enqueue
        connection.execute(text("UPDATE models SET backfilled_to = NULL"))
        connection.execute(
            text(
                "INSERT INTO labelling_queue (article_id, task_id, priority) "
                "SELECT articles.id, tasks.id, 1 FROM articles, tasks ON CONFLICT DO NOTHING"
            )
        )
    start = time.perf_counter()
    result = worker.label_pages(database, model, labeller, page_size=task.page_size)
    seconds = time.perf_counter() - start
    if result.labelled != task.rows:
        raise RuntimeError(f"labelled {result.labelled} of {task.rows}")
    return Timing(task.rows, seconds, costs(labeller, texts, task.page_size, seconds))


def costs(labeller: Any, texts: list[str], page_size: int, seconds: float) -> dict[str, float]:
    """Return the share of text in the computed word pieces, and the share of the time that tokenizing takes."""
    start = time.perf_counter()
    pages = [labeller.prepare(texts[first : first + page_size]) for first in range(0, len(texts), page_size)]
    prepare = time.perf_counter() - start
    masks = [batch.mask for page in pages for batch in page.batches]
    real = sum(int(batch.mask[: len(batch.rows)].sum()) for page in pages for batch in page.batches)
    return {"share_text": real / sum(mask.size for mask in masks), "prepare_share_of_time": prepare / seconds}


def engine_limit(task: Task) -> Timing:
    """Time the engine alone, on full batches of rows sorted by length, with the fastest of three batch sizes.

    A batch is as wide as its longest row, rounded up to 16, which the kernels compute faster. Each shape runs once
    before, so that its kernels are compiled.
    """
    from classifier.model.tokenization import pad

    labeller = load(task)
    pieces = sorted(labeller.tokenization.pieces(read_texts(task)), key=len, reverse=True)
    seconds = []
    for tokens in (512, 1024, 2048):
        batches, start = [], 0
        while start < len(pieces):
            width = min(MAX_LENGTH, -(-len(pieces[start]) // 16) * 16)
            rows = pieces[start : start + max(1, tokens // width)]
            batches.append(pad(rows, width))
            start += len(rows)
        for batch in {batch[0].shape: batch for batch in batches}.values():
            labeller.engine.probabilities(*batch)
        began = time.perf_counter()
        for batch in batches:
            labeller.engine.probabilities(*batch)
        seconds.append(time.perf_counter() - began)
    return Timing(task.rows, min(seconds), {})


def load(task: Task) -> Any:
    """Load the engine that labelling uses on this machine, with its batch sizes."""
    logging.basicConfig(level=logging.WARNING)
    from classifier.inference.fine_tuned_classifier import FineTunedClassifier
    from classifier.model import artefact

    files = artefact.read_artefact(task.artefact)
    return FineTunedClassifier(files.load()).labeller(home=task.home)


def read_texts(task: Task) -> list[str]:
    """Return the first texts of the table."""
    with create_engine(task.url).connect() as connection:
        return list(connection.scalars(text("SELECT text FROM articles ORDER BY id LIMIT :rows"), {"rows": task.rows}))


def hf_pipeline(task: Task, dtype: str = "float32") -> Timing:
    """Label as in the documentation of `transformers`."""
    import pandas as pd
    import torch
    from transformers import pipeline
    from transformers.utils import logging as transformers_logging

    from classifier.model import hardware

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(hardware.available_cores())
    classify = pipeline("text-classification", model=str(task.artefact), device="cpu", dtype=getattr(torch, dtype))
    settings = {"batch_size": HF_BATCH, "truncation": True, "max_length": MAX_LENGTH}
    classify(read_texts(replace(task, rows=4)), **settings)
    engine = create_engine(task.url)
    start = time.perf_counter()
    frame = pd.read_sql(f"SELECT id, text FROM articles ORDER BY id LIMIT {task.rows}", engine)
    predictions = classify(frame["text"].tolist(), **settings)
    columns = {key: [prediction[key] for prediction in predictions] for key in ("label", "score")}
    pd.DataFrame({"id": frame["id"], **columns}).to_sql("pipeline_labels", engine, if_exists="replace", index=False)
    return Timing(len(frame), time.perf_counter() - start, {})


def hf_pipeline_bf16(task: Task) -> Timing:
    """Label as in the documentation of `transformers`, in bfloat16."""
    return hf_pipeline(task, "bfloat16")


def tutorial(task: Task) -> Timing:
    """Label as the tutorial does: all texts padded to 512, in float32, with the faster of two batch sizes."""
    import pandas as pd

    from classifier.model import artefact
    from classifier.model.keras.network import Network
    from classifier.model.tokenization import pad

    files = artefact.read_artefact(task.artefact)
    checkpoint, tokenization = files.checkpoint(), files.tokenization()
    network = Network(checkpoint.shape, len(files.categories))
    network.load(checkpoint)
    engine, seconds = create_engine(task.url), []
    for batch in (16, 32):
        rows = -(-task.rows // batch) * batch
        network.probabilities(*pad([[1]], MAX_LENGTH, min(batch, task.rows)))
        start = time.perf_counter()
        frame = pd.read_sql(f"SELECT id, text FROM articles ORDER BY id LIMIT {task.rows}", engine)
        tokens, mask = pad(tokenization.pieces(frame["text"].tolist()), MAX_LENGTH)
        steps = range(0, rows, batch)
        scores = np.concatenate([network.probabilities(tokens[s : s + batch], mask[s : s + batch]) for s in steps])
        frame = pd.DataFrame({"id": frame["id"], "label": scores.argmax(axis=1), "score": scores.max(axis=1)})
        frame.to_sql("tutorial_labels", engine, if_exists="replace", index=False)
        seconds.append(time.perf_counter() - start)
    return Timing(task.rows, min(seconds), {})


Contender = Callable[[Task], Timing]


def fixed_lengths(task: Task, options: argparse.Namespace) -> dict[str, Any]:
    """Return our engine's articles a second for texts of fixed lengths."""
    results = [common.run_in_process(fixed, task)[0] for _ in range(options.repeats)]
    run: dict[str, Any] = {"dataset": "fixed lengths"}
    for length in FIXED_LENGTHS:
        rates = [result[length] for result in results]
        run[f"docs_per_s_{length}"] = round(statistics.median(rates), 1)
        run[f"spread_{length}"] = [round(min(rates), 1), round(max(rates), 1)]
        print(f"fixed {length:4} word pieces         {run[f'docs_per_s_{length}']:10.2f}")
    return {**run, "repeats": options.repeats, "load_1m": round(os.getloadavg()[0], 1)}


def fixed(task: Task) -> dict[int, float]:
    """Time `rows` batches of each length, in the batch size of labelling."""
    labeller, generator, rates = load(task), np.random.default_rng(1), {}
    for length in FIXED_LENGTHS:
        rows = labeller.sizes.rows(length)
        tokens = generator.integers(1000, 20_000, (rows, length)).astype(np.int32)
        mask = np.ones_like(tokens)
        labeller.engine.probabilities(tokens, mask)
        start = time.perf_counter()
        for _ in range(task.rows):
            labeller.engine.probabilities(tokens, mask)
        rates[length] = task.rows * rows / (time.perf_counter() - start)
    return rates


if __name__ == "__main__":
    main()
