"""Measure training and labelling on a GPU: this project on PyTorch, and `transformers` on the same GPU.

The network has DistilBERT-base's shape and random weights. The articles are Reuters R8's and BBC's, cut at 512 word
pieces. Each contender runs in a process of its own. The time of a training includes all that a user waits for once the
weights are loaded: tokenizing, compiling or recording, steps, and validation after each epoch. `Trainer` has dynamic
padding, `group_by_length`, its fused AdamW and bfloat16; ours also starts from a random head, with the recipe's dtype.
The time of labelling is from texts in memory to probabilities, without loading and warming up. Ours tokenizes the next
page while the GPU works, as the worker does; `pipeline("text-classification")` runs in bfloat16 with the faster of two
batch sizes. Without a GPU only the program itself is tested.

    python -m benchmarks.speed.gpu --out benchmarks/results/gpu.json
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.speed import training
from benchmarks.support import common
from benchmarks.support.trainers import MAX_LENGTH, Task, ours_random_head, trainer_bf16

PIPELINE_BATCHES = (32, 128)
PAGE = 2048


def main() -> None:
    """Report all results after each measurement, because the time on a GPU may end before the last one."""
    options = arguments()
    description, _ = common.run_in_process(call_on, options.backends[0], describe)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for run in measure(Path(folder), options):
            runs.append(run)
            model = "demo's 22 M" if options.quick else "DistilBERT-base's sizes, random weights"
            common.report(runs, options.out, **description, model=model)


def measure(folder: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the figures of training and labelling for each data set."""
    tokenizer, r8 = common.demo_data(options.cache)
    articles: dict[str, Callable[[], training.Parts]] = {"R8": lambda: r8, "BBC": lambda: training.bbc(options.data)}
    for name in options.datasets:
        parts = articles[name]()
        categories = sorted({category for _, category in parts[0]})
        base, longest = (False, 64) if options.quick else (True, MAX_LENGTH)
        model = common.make_model(folder / name, tokenizer, categories, base=base, max_length=longest)
        task = training.task(name, *parts, model, options)
        for batch in options.batches:
            yield measure_training(replace(task, batch=batch), options)
        texts = [text for part in parts for text, _ in part]
        yield measure_labelling(name, model, random.Random(1).sample(texts, min(len(texts), options.label)), options)


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = common.data_parser(__doc__)
    parser.add_argument("--datasets", nargs="+", choices=["R8", "BBC"], default=["R8", "BBC"])
    parser.add_argument("--backends", nargs="+", choices=["torch"], default=["torch"])
    parser.add_argument("--batches", nargs="+", type=int, default=[16, 64], help="articles in a training step")
    parser.add_argument("--train", type=int, default=4800, help="maximum of train articles")
    parser.add_argument("--test", type=int, default=500, help="test articles")
    parser.add_argument("--label", type=int, default=7000, help="maximum of articles to label")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    if options.quick:
        options.datasets, options.batches, options.train, options.test, options.label = ["R8"], [16], 16, 8, 8
        options.epochs = 1
    return options


def describe() -> dict[str, Any]:
    """Return the GPU's name, the dtypes, and the versions of the libraries."""
    from importlib.metadata import version

    import torch

    from classifier.model.keras import backend

    return {
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "precision": {"ours": backend.best_dtype(), "transformers": "bfloat16"},
        "versions": {package: version(package) for package in ("torch", "keras", "keras-hub", "transformers")},
    }


def measure_training(task: Task, options: argparse.Namespace) -> dict[str, Any]:
    """Train with the contenders in turn; return the run's figures."""
    contenders: dict[str, tuple[str, Callable[..., Any]]] = {
        **{f"ours_{backend}": (backend, ours_random_head) for backend in options.backends},
        "hf_trainer": ("", trainer_bf16),
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    accuracies: dict[str, list[float]] = {name: [] for name in contenders}
    for seed in range(1, options.repeats + 1):
        for name, (backend, contender) in contenders.items():
            (seconds, predicted), _ = common.run_in_process(call_on, backend, contender, task, seed)
            rates[name].append(task.epochs * len(task.train.texts) / seconds)
            correct = sum(category == target for category, target in zip(predicted, task.test.targets, strict=True))
            accuracies[name].append(round(correct / len(predicted), 4))
            show(f"{task.name} training, {task.batch} articles a step", name, rates[name][-1])
    return {
        "dataset": task.name,
        "task": "training",
        "batch": task.batch,
        "train_articles": len(task.train.texts),
        "epochs": task.epochs,
        **figures(rates, "hf_trainer"),
        "accuracies": accuracies,
    }


def measure_labelling(dataset: str, model: Path, texts: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Label with the contenders in turn; return the run's figures."""
    rates: dict[str, list[float]] = {**{f"ours_{backend}": [] for backend in options.backends}, "hf_pipeline": []}
    batch = 0
    for _ in range(options.repeats):
        for backend in options.backends:
            seconds, _ = common.run_in_process(call_on, backend, ours_labelling, model, texts)
            rates[f"ours_{backend}"].append(len(texts) / seconds)
            show(f"{dataset} labelling", f"ours_{backend}", rates[f"ours_{backend}"][-1])
        (seconds, batch), _ = common.run_in_process(pipeline_labelling, model, texts)
        rates["hf_pipeline"].append(len(texts) / seconds)
        show(f"{dataset} labelling", "hf_pipeline", rates["hf_pipeline"][-1])
    return {
        "dataset": dataset,
        "task": "labelling",
        "articles": len(texts),
        **figures(rates, "hf_pipeline"),
        "hf_pipeline_batch": batch,
    }


def figures(rates: dict[str, list[float]], other: str) -> dict[str, Any]:
    """Return the medians, our ratios to the other contender, and the spreads."""
    middle = {name: statistics.median(several) for name, several in rates.items()}
    return {
        **{f"{name}_docs_per_s": round(rate, 1) for name, rate in middle.items()},
        **{f"ratio_{name}": round(rate / middle[other], 2) for name, rate in middle.items() if name != other},
        "repeats": len(rates[other]),
        "spread": {name: [round(min(several), 1), round(max(several), 1)] for name, several in rates.items()},
    }


def show(what: str, name: str, rate: float) -> None:
    """Print a figure."""
    print(f"{what:36} {name:12} {rate:10.1f} articles/s", flush=True)


def call_on(backend: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function on a backend of Keras, in a process that has not imported Keras yet."""
    if backend:
        os.environ["KERAS_BACKEND"] = backend
    return function(*arguments)


def ours_labelling(model: Path, texts: list[str]) -> float:
    """Return the seconds of labelling with the Keras engine."""
    from classifier.inference.fine_tuned_classifier import FineTunedClassifier
    from classifier.model import artefact

    files = artefact.read_artefact(model)
    labeller = FineTunedClassifier(files.load()).labeller("keras", home=model.parent)
    labeller.probabilities(["warm up " * count for count in range(1, MAX_LENGTH // 2 + 8, 4)])
    start = time.perf_counter()
    with ThreadPoolExecutor(1) as ahead:
        pages = [texts[first : first + PAGE] for first in range(0, len(texts), PAGE)]
        following = [ahead.submit(labeller.prepare, page) for page in pages]
        for page in following:
            labeller.run(page.result())
    return time.perf_counter() - start


def pipeline_labelling(model: Path, texts: list[str]) -> tuple[float, int]:
    """Return the seconds of labelling as in the documentation of `transformers`, and the faster batch size."""
    import torch
    from transformers import pipeline
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    device = 0 if torch.cuda.is_available() else "cpu"
    classify = pipeline("text-classification", model=str(model), device=device, dtype=torch.bfloat16)
    seconds = {}
    for batch in PIPELINE_BATCHES:
        settings = {"batch_size": batch, "truncation": True, "max_length": MAX_LENGTH}
        classify(texts[: 2 * batch], **settings)
        start = time.perf_counter()
        classify(texts, **settings)
        seconds[batch] = time.perf_counter() - start
    best = min(seconds, key=seconds.__getitem__)
    return seconds[best], best


if __name__ == "__main__":
    main()
