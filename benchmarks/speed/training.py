"""Measure speed and accuracy of training: this project, the tutorial's TensorFlow loop, Hugging Face's `Trainer`.

All train the same encoder on the same articles for the same epochs, validate after each epoch, and are measured on the
same test articles. Each runs in a process of its own with all threads of the machine. The time includes all that a user
waits for once the encoder is loaded: tokenizing, compiling, our head's probe, steps and validation. Ours is trained a
second time from a random head, like the other contenders.

The tutorial's loop pads to 512 word pieces and uses batches of 16, float32 and Adam at 5e-5. `Trainer` has dynamic
padding, `group_by_length` and our learning rate, warm-up and weight decay; the faster of float32 and bfloat16 counts.
If the processor has no bfloat16 instructions, bfloat16 is omitted. All cut texts at 512 word pieces.

    python -m benchmarks.speed.training --datasets r8 --train 560 --out FILE.json
    python -m benchmarks.speed.training --datasets bbc --train 400 --test 1250 --out FILE.json
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support import common
from benchmarks.support.trainers import CONTENDERS, Articles, Task
from classifier.model import hardware

Parts = tuple[list[common.Row], list[common.Row]]
"""Train articles and test articles."""


def main() -> None:
    """Draw the samples, run the contenders in turn, and report."""
    options = arguments()
    encoder, r8 = common.demo_data(options.cache)
    articles = {"r8": lambda: r8, "bbc": lambda: bbc(options.data)}
    tasks = [task(name.upper(), *articles[name](), encoder, options) for name in options.datasets]
    common.report([compare(each, options.repeats) for each in tasks], options.out)


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = common.data_parser(__doc__)
    parser.add_argument("--datasets", nargs="+", choices=["r8", "bbc"], default=["r8", "bbc"])
    parser.add_argument("--train", type=int, default=640, help="train articles")
    parser.add_argument("--test", type=int, default=500, help="test articles")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1, help="trainings of each contender, with seeds 1, 2, ...")
    options = parser.parse_args()
    if options.quick:
        options.datasets, options.train, options.test, options.epochs = ["r8"], 16, 8, 1
    return options


def task(
    name: str, train: list[common.Row], test: list[common.Row], encoder: Path, options: argparse.Namespace
) -> Task:
    """Draw the articles, the same for every contender, and a tenth as many for validation.

    If the test split is too small, unused train articles are added to it.
    """
    generator = random.Random(1)
    categories = sorted({category for _, category in train})
    count = min(options.train, len(train) * 10 // 11)
    drawn = generator.sample(train, count + count // 10)
    tested = generator.sample(test, min(len(test), options.test))
    used = set(drawn)
    tested += [row for row in train if row not in used][: options.test - len(tested)]

    def articles(rows: list[common.Row]) -> Articles:
        return Articles([text for text, _ in rows], [categories.index(category) for _, category in rows])

    parts = articles(drawn[:count]), articles(drawn[count:]), articles(tested)
    return Task(name, encoder, len(categories), options.epochs, *parts)


def bbc(data: Path) -> Parts:
    """Return BBC's distinct articles, a fifth of them for test."""
    rows = list(dict(common.read_bbc(data)).items())
    random.Random(1).shuffle(rows)
    return rows[len(rows) // 5 :], rows[: len(rows) // 5]


def compare(task: Task, repeats: int) -> dict[str, Any]:
    """Run the contenders in turn, each time with another seed; return the run's figures."""
    omitted = set() if hardware.multiplies_bfloat16() else {"hf_trainer_bf16"}
    contenders = {name: contender for name, contender in CONTENDERS.items() if name not in omitted}
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
    for seed in range(1, repeats + 1):
        for name, contender in contenders.items():
            (seconds, predicted), _ = common.run_in_process(contender, task, seed)
            accuracy = float(np.mean(np.array(predicted) == np.array(task.test.targets)))
            results[name].append((task.epochs * len(task.train.texts) / seconds, accuracy))
            print(
                f"{task.name:4} {name:16} {results[name][-1][0]:8.1f} articles/s   accuracy {accuracy:.4f}", flush=True
            )
    return summary(task, results, repeats)


def summary(task: Task, results: dict[str, list[tuple[float, float]]], repeats: int) -> dict[str, Any]:
    """Return the run's figures: the median speed, the ratios, the mean accuracy, and the spread of both."""
    rate = {name: float(np.median([speed for speed, _ in runs])) for name, runs in results.items()}
    accuracy = {name: round(float(np.mean([accuracy for _, accuracy in runs])), 4) for name, runs in results.items()}
    trainer = max((name for name in rate if name.startswith("hf_trainer")), key=rate.__getitem__)
    return {
        "dataset": task.name,
        "model": "22 M parameters",
        "train_articles": len(task.train.texts),
        "test_articles": len(task.test.texts),
        "epochs": task.epochs,
        "ours_docs_per_s": round(rate["ours"], 2),
        "tutorial_docs_per_s": round(rate["tutorial"], 2),
        "hf_trainer_docs_per_s": round(rate[trainer], 2),
        "hf_trainer": trainer.removeprefix("hf_trainer_"),
        "ratio_tutorial": round(rate["ours"] / rate["tutorial"], 2),
        "ratio_hf_trainer": round(rate["ours"] / rate[trainer], 2),
        "ours_accuracy": accuracy["ours"],
        "tutorial_accuracy": accuracy["tutorial"],
        "hf_trainer_accuracy": accuracy[trainer],
        "random_head_docs_per_s": round(rate["ours_random_head"], 2),
        "random_head_accuracy": accuracy["ours_random_head"],
        "repeats": repeats,
        "spread": {name: [round(min(runs)[0], 2), round(max(runs)[0], 2)] for name, runs in results.items()},
        "accuracies": {name: [round(accuracy, 4) for _, accuracy in runs] for name, runs in results.items()},
    }


if __name__ == "__main__":
    main()
