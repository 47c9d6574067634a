"""Compare the review queue with random selection: accuracy against the number of annotations.

Reuters R8's train articles count as not annotated. A random sample is annotated first. Then rounds follow: the model
labels the remaining articles, the queue's selection (or chance) picks the next ones to annotate, and a new model is
trained on all annotated articles, from the demo's encoder of 22 million weights. Each model is measured on R8's test
articles. A hundred random articles are the validation split of both and are not counted. Articles with the same text
are one cluster; there is no audit sample.

A seed takes twenty minutes on two cores. With `--resume` an interrupted run continues.

    python -m benchmarks.accuracy.review --resume rows.jsonl --out benchmarks/results/review.json
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.support import common
from classifier.articles import Probabilities
from classifier.evaluation.metrics import compute_metrics
from classifier.ingest.fingerprints import fingerprint
from classifier.review import selection
from classifier.training.recipes import Recipe, files

ROUNDS = (171, 457, 1371)
"""Annotated articles in each round; the last is a quarter of R8's train articles."""

HALF = 2742
"""The last number of annotations for random selection: half of R8's train articles."""

VALIDATION = 100
MIN_STEPS = 100
"""Few articles give few steps an epoch, so epochs are added until there are this many steps."""


Row = dict[str, Any]
"""A model's seed, selection, number of annotations, accuracy and macro-F1."""


@dataclass(frozen=True)
class Task:
    """The articles by split and the hyperparameters of a simulation."""

    encoder: Path
    train: list[common.Row]
    validation: list[common.Row]
    test: list[common.Row]
    rounds: tuple[int, ...]
    half: int
    recipe: Recipe
    min_steps: int
    seed: int

    def random_sample(self, size: int) -> list[int]:
        """Return random train articles; a smaller sample is the beginning of a larger one."""
        order = np.random.default_rng(self.seed).permutation(len(self.train))
        return [int(row) for row in order[:size]]


def tasks(options: Any) -> Iterator[Task]:
    """Yield a task for each seed."""
    encoder, (train, test) = common.demo_data(options.cache)
    rounds, half, held_out, recipe, steps = ROUNDS, HALF, VALIDATION, files.load_recipe("r8", epochs=3), MIN_STEPS
    if options.quick:
        train, test, rounds, half, held_out = train[:300], test[:60], (20, 40), 40, 20
        recipe, steps = files.load_recipe("r8", epochs=1, max_length=16), 0
    for seed in options.seeds[:1] if options.quick else options.seeds:
        order = np.random.default_rng([seed, 1]).permutation(len(train))
        validation, remaining = ([train[row] for row in part] for part in (order[:held_out], order[held_out:]))
        yield Task(encoder, remaining, validation, test, rounds, half, replace(recipe, seed=seed), steps, seed)


def units(task: Task) -> Iterator[tuple[Callable[..., list[Row]], tuple[Any, ...], list[str]]]:
    """Yield the units that run in processes of their own: a function, its arguments and the names of its rows."""
    yield by_the_queue, (task,), [f"{task.seed} queue {size}" for size in task.rounds]
    for size in sorted({*task.rounds[1:], task.half}):
        yield at_random, (task, size), [f"{task.seed} random {size}"]


def by_the_queue(task: Task) -> list[Row]:
    """Annotate by the queue, round by round; return a row for each model, the first one also as a random one."""
    annotated = task.random_sample(task.rounds[0])
    model = Model(task, annotated)
    first = result(task, model, "queue", len(annotated))
    rows = [first, {**first, "by": "random"}]
    for size in task.rounds[1:]:
        annotated = [*annotated, *choose(task, model, annotated, size - len(annotated))]
        model = Model(task, annotated)
        rows.append(result(task, model, "queue", size))
    return rows


def at_random(task: Task, size: int) -> list[Row]:
    """Annotate random articles; return the model's row."""
    return [result(task, Model(task, task.random_sample(size)), "random", size)]


def choose(task: Task, model: Model, annotated: Sequence[int], number: int) -> list[int]:
    """Return the articles that `classifier review fill` would choose next."""
    remaining = np.setdiff1d(np.arange(len(task.train)), annotated)
    counts = Counter(task.train[row][1] for row in annotated)
    prints = [int.from_bytes(fingerprint(task.train[row][0])[:7], "big") for row in remaining]
    probabilities = model.probabilities(task.train[row][0] for row in remaining)
    pool = selection.ReviewPool(model.categories, probabilities, np.array(prints))
    short = selection.shortlist(pool, number, counts)
    texts = [task.train[remaining[row]][0] for row in short]
    choices = selection.choose_articles(pool[short], texts, number, counts, seed=task.seed)
    return [int(remaining[short[choice.row]]) for choice in choices]


class Model:
    """A model trained on the annotated articles, loaded into the engine that labels."""

    def __init__(self, task: Task, annotated: Sequence[int]) -> None:
        from classifier.inference.fine_tuned_classifier import FineTunedClassifier
        from classifier.model import checkpoint
        from classifier.model.fine_tuned import FineTunedModel
        from classifier.model.keras import network
        from classifier.model.tokenization import Tokenization
        from classifier.training import fit

        rows = [task.train[row] for row in annotated]
        self.categories = tuple(sorted({category for _, category in rows}))
        pretrained, tokenization = (
            checkpoint.read_checkpoint(task.encoder),
            Tokenization.read(task.encoder, task.recipe.max_length),
        )

        def tokenized(articles: Sequence[common.Row]) -> fit.TokenizedArticles:
            targets = [
                (text, self.categories.index(category)) for text, category in articles if category in self.categories
            ]
            pieces = tokenization.pieces([text for text, _ in targets])
            return fit.TokenizedArticles(pieces, np.array([target for _, target in targets]))

        epochs = max(task.recipe.epochs, -(-task.min_steps * task.recipe.batch_size // len(rows)))
        recipe = replace(task.recipe, epochs=epochs, patience=epochs)
        data = tokenized(rows), tokenized(task.validation)
        weights = fit.fit_classifier(pretrained, *data, recipe, categories=len(self.categories)).weights
        network.clear_session()
        model = FineTunedModel(replace(pretrained, weights=weights), tokenization, self.categories)
        self._labeller = FineTunedClassifier(model).labeller("openvino")

    def probabilities(self, texts: Iterator[str]) -> Probabilities:
        """Return each text's probabilities."""
        return self._labeller.probabilities(list(texts))


def result(task: Task, model: Model, by: str, size: int) -> Row:
    """Measure a model on the test articles."""
    predicted = model.probabilities(text for text, _ in task.test).argmax(axis=1)
    truth = [category for _, category in task.test]
    figures = compute_metrics(truth, [model.categories[column] for column in predicted])
    scores = {"accuracy": round(figures.accuracy, 4), "macro_f1": round(figures.macro_f1, 4)}
    print(f"seed {task.seed}  {by:7} {size:5,} annotations  {scores}", flush=True)
    return {"seed": task.seed, "by": by, "annotations": size, **scores}


def summary(rows: list[Row]) -> list[dict[str, Any]]:
    """Return a run for each selection and number of annotations: the means over the seeds, and each seed's figures."""
    runs = []
    for by, size in sorted({(row["by"], row["annotations"]) for row in rows}):
        same = [row for row in rows if (row["by"], row["annotations"]) == (by, size)]
        run = {"dataset": "R8", "model": "22 M parameters", "by": by, "annotations": size, "seeds": len(same)}
        for name in ("accuracy", "macro_f1"):
            values = [row[name] for row in same]
            run |= {name: round(float(np.mean(values)), 4), f"{name}_each": values}
        runs.append(run)
    return runs


def arguments() -> argparse.Namespace:
    """Return the command line's options."""
    parser = common.data_parser(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--resume", type=Path, help="file of finished rows: they are not simulated again")
    return parser.parse_args()


def main() -> None:
    """Simulate, print a table and report."""
    options = arguments()
    rows: list[Row] = []
    if options.resume and options.resume.exists():
        rows = [json.loads(line) for line in options.resume.read_text(encoding="utf-8").splitlines()]
    finished = {f"{row['seed']} {row['by']} {row['annotations']}" for row in rows}
    for task in tasks(options):
        for function, inputs, names in units(task):
            if not finished.issuperset(names):
                rows += common.run_in_process(function, *inputs)[0]
                if options.resume:
                    options.resume.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    runs = summary(rows)
    for run in runs:
        print(f"{run['by']:7} {run['annotations']:5,}  accuracy {run['accuracy']:.4f}  macro-F1 {run['macro_f1']:.4f}")
    quarter, half = [run for run in runs if run["by"] == "queue"][-1], runs[-1]
    reached = {name: quarter[name] >= half[name] for name in ("accuracy", "macro_f1")}
    shares = {"rare": selection.RARE_SHARE, "diverse": selection.DIVERSE_SHARE}
    common.report(runs, options.out, shares=shares, quarter_reaches_half=reached)


if __name__ == "__main__":
    main()
