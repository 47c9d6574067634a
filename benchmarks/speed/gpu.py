"""How fast a GPU trains and labels: this project on PyTorch, and `transformers` on the same GPU.

The network has DistilBERT-base's sizes and random weights; articles are Reuters R8's and BBC's, cut at 512 word
pieces by all, and each contender runs in a process of its own. What is timed of a training is all that a user waits
for once the weights are loaded: tokenising, compiling or recording, steps, and validation after each epoch. `Trainer`
has dynamic padding, `group_by_length`, its fused AdamW and bfloat16; ours starts from a random head, as it does, and
has the recipe's own number format. Labelling is from texts in memory to probabilities, loading and warming up left
out: ours in pages of which the next is tokenised meanwhile, as the worker does; `pipeline("text-classification")` in
bfloat16, the fastest of the batch sizes. Without a GPU it is a trial of the program.

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
    """Report after each measurement all that there is, since the time on a GPU may end before the last one."""
    options = arguments()
    about, _ = common.in_a_process(on, options.backends[0], described)
    runs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for run in measured(Path(folder), options):
            runs.append(run)
            model = "demo's 22 M" if options.quick else "DistilBERT-base's sizes, random weights"
            common.report(runs, options.out, **about, model=model)


def measured(folder: Path, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Make a network for each data set, and yield the figures of trainings and of labelling."""
    tokenizer, r8 = common.demo_data(options.cache)
    articles: dict[str, Callable[[], training.Parts]] = {"R8": lambda: r8, "BBC": lambda: training.bbc(options.data)}
    for name in options.datasets:
        parts = articles[name]()
        categories = sorted({category for _, category in parts[0]})
        base, longest = (False, 64) if options.quick else (True, MAX_LENGTH)
        model = common.make_model(folder / name, tokenizer, categories, base=base, max_length=longest)
        task = training.task(name, *parts, model, options)
        for batch in options.batches:
            yield trained(replace(task, batch=batch), options)
        texts = [text for part in parts for text, _ in part]
        yield labelled(name, model, random.Random(1).sample(texts, min(len(texts), options.label)), options)


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = common.data_parser(__doc__)
    parser.add_argument("--datasets", nargs="+", choices=["R8", "BBC"], default=["R8", "BBC"])
    parser.add_argument("--backends", nargs="+", choices=["torch"], default=["torch"])
    parser.add_argument("--batches", nargs="+", type=int, default=[16, 64], help="articles a training step")
    parser.add_argument("--train", type=int, default=4800, help="articles to train on, at most")
    parser.add_argument("--test", type=int, default=500, help="articles to test on")
    parser.add_argument("--label", type=int, default=7000, help="articles to label, at most")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    options = parser.parse_args()
    if options.quick:
        options.datasets, options.batches, options.train, options.test, options.label = ["R8"], [16], 16, 8, 8
        options.epochs = 1
    return options


def described() -> dict[str, Any]:
    """Return the GPU's name, the number formats, and the versions of what computes on it."""
    from importlib.metadata import version

    import torch

    from classifier.model.keras import backend

    return {
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "precision": {"ours": backend.best_dtype(), "transformers": "bfloat16"},
        "versions": {package: version(package) for package in ("torch", "keras", "keras-hub", "transformers")},
    }


def trained(task: Task, options: argparse.Namespace) -> dict[str, Any]:
    """Train with every contender so many times, in turn; return the run's figures."""
    contenders: dict[str, tuple[str, Callable[..., Any]]] = {
        **{f"ours_{backend}": (backend, ours_random_head) for backend in options.backends},
        "hf_trainer": ("", trainer_bf16),
    }
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    accuracies: dict[str, list[float]] = {name: [] for name in contenders}
    for seed in range(1, options.repeats + 1):
        for name, (backend, contender) in contenders.items():
            (seconds, predicted), _ = common.in_a_process(on, backend, contender, task, seed)
            rates[name].append(task.epochs * len(task.train.texts) / seconds)
            right = sum(one == other for one, other in zip(predicted, task.test.targets, strict=True))
            accuracies[name].append(round(right / len(predicted), 4))
            said(f"{task.name} training, {task.batch} articles a step", name, rates[name][-1])
    return {
        "dataset": task.name,
        "task": "training",
        "batch": task.batch,
        "train_articles": len(task.train.texts),
        "epochs": task.epochs,
        **figures(rates, "hf_trainer"),
        "accuracies": accuracies,
    }


def labelled(dataset: str, model: Path, texts: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Label with every contender so many times, in turn; return the run's figures."""
    rates: dict[str, list[float]] = {**{f"ours_{backend}": [] for backend in options.backends}, "hf_pipeline": []}
    batch = 0
    for _ in range(options.repeats):
        for backend in options.backends:
            seconds, _ = common.in_a_process(on, backend, ours_labelling, model, texts)
            rates[f"ours_{backend}"].append(len(texts) / seconds)
            said(f"{dataset} labelling", f"ours_{backend}", rates[f"ours_{backend}"][-1])
        (seconds, batch), _ = common.in_a_process(pipeline_labelling, model, texts)
        rates["hf_pipeline"].append(len(texts) / seconds)
        said(f"{dataset} labelling", "hf_pipeline", rates["hf_pipeline"][-1])
    return {
        "dataset": dataset,
        "task": "labelling",
        "articles": len(texts),
        **figures(rates, "hf_pipeline"),
        "hf_pipeline_batch": batch,
    }


def figures(rates: dict[str, list[float]], theirs: str) -> dict[str, Any]:
    """Return the medians, our ratios to the other's, and the spreads."""
    middle = {name: statistics.median(several) for name, several in rates.items()}
    return {
        **{f"{name}_docs_per_s": round(rate, 1) for name, rate in middle.items()},
        **{f"ratio_{name}": round(rate / middle[theirs], 2) for name, rate in middle.items() if name != theirs},
        "repeats": len(rates[theirs]),
        "spread": {name: [round(min(several), 1), round(max(several), 1)] for name, several in rates.items()},
    }


def said(what: str, name: str, rate: float) -> None:
    """Print a figure for people."""
    print(f"{what:36} {name:12} {rate:10.1f} articles/s", flush=True)


def on(backend: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call the function in a process whose Keras has not been imported yet."""
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
    """Return the seconds of labelling as the documentation of `transformers` shows it, and the batch size."""
    import torch
    from transformers import pipeline
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    device = 0 if torch.cuda.is_available() else "cpu"
    classify = pipeline("text-classification", model=str(model), device=device, dtype=torch.bfloat16)
    taken = {}
    for batch in PIPELINE_BATCHES:
        settings = {"batch_size": batch, "truncation": True, "max_length": MAX_LENGTH}
        classify(texts[: 2 * batch], **settings)
        start = time.perf_counter()
        classify(texts, **settings)
        taken[batch] = time.perf_counter() - start
    best = min(taken, key=taken.__getitem__)
    return taken[best], best


if __name__ == "__main__":
    main()
