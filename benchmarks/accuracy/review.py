"""What the review queue is worth: accuracy against the number of annotations, by the queue and at random.

Of Reuters R8's train articles as if nobody had annotated them. Some at random are annotated first. Then rounds
follow: the model labels what is left, the queue's own selection (or chance) picks what is annotated next, and a
model is trained afresh on all that is annotated, from the demo's encoder of 22 million weights. Each model is
measured on R8's test articles. A hundred articles at random stand for the validation split, the same for both, and
are not counted. Articles of one text are one cluster; the audit sample is left out.

Twenty minutes a seed on two cores; with `--go-on` a run that was cut short goes on.

    python -m benchmarks.accuracy.review --go-on rows.jsonl --out benchmarks/results/review.json
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
"""Articles annotated, three times as many each; the last is a quarter of R8's train articles."""

HALF = 2742
"""Which chance goes on to."""

VALIDATION = 100
LEAST_STEPS = 100
"""Few articles make few steps an epoch: they are gone over more often, until there are so many."""


Row = dict[str, Any]
"""A model's seed, way, number of annotations, accuracy and macro-F1."""


@dataclass(frozen=True)
class Task:
    """The articles, in the simulation's parts, and how a model is trained."""

    encoder: Path
    train: list[common.Row]
    validation: list[common.Row]
    test: list[common.Row]
    rounds: tuple[int, ...]
    half: int
    recipe: Recipe
    least_steps: int
    seed: int

    def drawn(self, size: int) -> list[int]:
        """Return so many of the train articles at random; fewer are the first of more."""
        order = np.random.default_rng(self.seed).permutation(len(self.train))
        return [int(row) for row in order[:size]]


def tasks(options: Any) -> Iterator[Task]:
    """Yield a task a seed."""
    encoder, (train, test) = common.demo_data(options.cache)
    rounds, half, held, recipe, steps = ROUNDS, HALF, VALIDATION, files.load_recipe("r8", epochs=3), LEAST_STEPS
    if options.quick:
        train, test, rounds, half, held = train[:300], test[:60], (20, 40), 40, 20
        recipe, steps = files.load_recipe("r8", epochs=1, max_length=16), 0
    for seed in options.seeds[:1] if options.quick else options.seeds:
        order = np.random.default_rng([seed, 1]).permutation(len(train))
        validation, rest = ([train[row] for row in part] for part in (order[:held], order[held:]))
        yield Task(encoder, rest, validation, test, rounds, half, replace(recipe, seed=seed), steps, seed)


def units(task: Task) -> Iterator[tuple[Callable[..., list[Row]], tuple[Any, ...], list[str]]]:
    """Yield what is simulated in a process of its own: a function, its arguments, and the names of its rows."""
    yield by_the_queue, (task,), [f"{task.seed} queue {size}" for size in task.rounds]
    for size in sorted({*task.rounds[1:], task.half}):
        yield at_random, (task, size), [f"{task.seed} random {size}"]


def by_the_queue(task: Task) -> list[Row]:
    """Annotate by the queue, round by round; return a row for every model, and for chance the first one too."""
    annotated = task.drawn(task.rounds[0])
    model = Model(task, annotated)
    first = result(task, model, "queue", len(annotated))
    found = [first, {**first, "by": "random"}]
    for size in task.rounds[1:]:
        annotated = [*annotated, *chosen(task, model, annotated, size - len(annotated))]
        model = Model(task, annotated)
        found.append(result(task, model, "queue", size))
    return found


def at_random(task: Task, size: int) -> list[Row]:
    """Annotate so many at random; return the model's row."""
    return [result(task, Model(task, task.drawn(size)), "random", size)]


def chosen(task: Task, model: Model, annotated: Sequence[int], number: int) -> list[int]:
    """Return what the queue would ask for next, as `classifier review fill` chooses it."""
    left = np.setdiff1d(np.arange(len(task.train)), annotated)
    counts = Counter(task.train[row][1] for row in annotated)
    prints = [int.from_bytes(fingerprint(task.train[row][0])[:7], "big") for row in left]
    pool = selection.ReviewPool(
        model.categories, model.probabilities(task.train[row][0] for row in left), np.array(prints)
    )
    short = selection.shortlist(pool, number, counts)
    texts = [task.train[left[row]][0] for row in short]
    found = selection.choose_articles(pool[short], texts, number, counts, seed=task.seed)
    return [int(left[short[one.row]]) for one in found]


class Model:
    """A model trained on the annotated articles, in the engine that labels."""

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

        def tokenized(some: Sequence[common.Row]) -> fit.TokenizedArticles:
            known = [(text, self.categories.index(category)) for text, category in some if category in self.categories]
            return fit.TokenizedArticles(
                tokenization.pieces([text for text, _ in known]), np.array([one for _, one in known])
            )

        epochs = max(task.recipe.epochs, -(-task.least_steps * task.recipe.batch_size // len(rows)))
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
    best = model.probabilities(text for text, _ in task.test).argmax(axis=1)
    figures = compute_metrics([category for _, category in task.test], [model.categories[one] for one in best])
    scores = {"accuracy": round(figures.accuracy, 4), "macro_f1": round(figures.macro_f1, 4)}
    print(f"seed {task.seed}  {by:7} {size:5,} annotations  {scores}", flush=True)
    return {"seed": task.seed, "by": by, "annotations": size, **scores}


def summary(rows: list[Row]) -> list[dict[str, Any]]:
    """Return a run for each way and number of annotations: the means of the seeds, and each seed's figures."""
    runs = []
    for by, size in sorted({(row["by"], row["annotations"]) for row in rows}):
        same = [row for row in rows if (row["by"], row["annotations"]) == (by, size)]
        run = {"dataset": "R8", "model": "22 M parameters", "by": by, "annotations": size, "seeds": len(same)}
        for name in ("accuracy", "macro_f1"):
            values = [row[name] for row in same]
            run |= {name: round(float(np.mean(values)), 4), f"{name}_each": values}
        runs.append(run)
    return runs


def parsed() -> argparse.Namespace:
    """Return the command line's options."""
    parser = common.data_parser(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--go-on", type=Path, help="file of rows: what it has is not simulated again")
    return parser.parse_args()


def main() -> None:
    """Simulate, print a table for people and a line of JSON for programs."""
    options = parsed()
    rows: list[Row] = []
    if options.go_on and options.go_on.exists():
        rows = [json.loads(line) for line in options.go_on.read_text(encoding="utf-8").splitlines()]
    known = {f"{row['seed']} {row['by']} {row['annotations']}" for row in rows}
    for task in tasks(options):
        for function, arguments, names in units(task):
            if not known.issuperset(names):
                rows += common.in_a_process(function, *arguments)[0]
                if options.go_on:
                    options.go_on.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    runs = summary(rows)
    for run in runs:
        print(f"{run['by']:7} {run['annotations']:5,}  accuracy {run['accuracy']:.4f}  macro-F1 {run['macro_f1']:.4f}")
    quarter, half = [run for run in runs if run["by"] == "queue"][-1], runs[-1]
    reached = {name: quarter[name] >= half[name] for name in ("accuracy", "macro_f1")}
    shares = {"rare": selection.RARE_SHARE, "diverse": selection.DIVERSE_SHARE}
    common.report(runs, options.out, shares=shares, quarter_reaches_half=reached)


if __name__ == "__main__":
    main()
