"""Measure how many more articles are labelled if a model backs off to the parent of a category, at equal precision.

The categories are topics of Reuters-21578, in two levels. The collection's description has groups of topics: energy,
economic indicators and commodities, which are parents here. Grain, oilseed, veg-oil, meal-feed, livestock and money-fx
are topics themselves, and annotated with nearly every article of a topic below them; so they are the parents of these.
A topic is left out of an article that also has one below it, and articles with one topic then remain: ModApte's train
articles, of which one in five is for validation, and its test articles. Categories with fewer than five train articles
are left out.

Two data sets are measured: all of these topics, more than half of whose articles are of `earn` and `acq`, which have no
parent; and only the topics that have a parent or are one.

The threshold for a precision of 0.95 is chosen on the validation articles, with and without back-off. An answer is
correct if it is the article's category or its parent. Two models are measured: the baseline, TF-IDF with a linear
classifier, and a fine-tuned network of 22 million parameters. `best` is the highest coverage whose precision on the
test articles is 0.95, which no one can choose beforehand.

    python -m benchmarks.accuracy.back_off --out benchmarks/results/back_off.json
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.support import common
from classifier.articles import Probabilities
from classifier.evaluation import abstention
from classifier.model import category_tree, linear, temperature_scaling
from classifier.model.softmax import softmax

TARGET = 0.95
MIN_ARTICLES = 5

GROUPS = {
    "grain": "wheat corn rice barley sorghum oat rye",
    "oilseed": "soybean rapeseed sunseed groundnut linseed cottonseed castorseed coconut palmkernel copra-cake",
    "veg-oil": "palm-oil soy-oil rape-oil sun-oil coconut-oil cotton-oil groundnut-oil lin-oil castor-oil corn-oil",
    "meal-feed": "soy-meal sun-meal rape-meal lin-meal fishmeal cornglutenfeed citruspulp tapioca",
    "livestock": "carcass hog l-cattle f-cattle pork-belly",
    "money-fx": "dlr yen stg dmk austdlr nzdlr saudriyal can dfl rand nkr peseta ringgit lit rupiah skr dkr cruzado "
    "sfr",
    "energy": "crude nat-gas gas fuel heat jet naphtha propane pet-chem",
    "economic indicator": "trade bop cpi wpi gnp ipi jobs lei income retail reserves housing inventories instal-debt "
    "cpu money-supply",
    "commodity": "coffee sugar cocoa cotton rubber orange lumber tea plywood wool potato red-bean gold silver copper "
    "alum zinc lead tin nickel platinum palladium iron-steel strategic-metal",
}
PARENTS = {child: parent for parent, children in GROUPS.items() for child in children.split()}


@dataclass(frozen=True, eq=False)
class Data:
    """The texts and categories of the train, validation and test articles."""

    parts: dict[str, tuple[list[str], list[str]]]
    categories: tuple[str, ...]

    @property
    def columns(self) -> dict[str, Any]:
        """The indices of each part's categories."""
        index = {name: column for column, name in enumerate(self.categories)}
        return {part: np.array([index[name] for name in names]) for part, (_, names) in self.parts.items()}


def read(options: Any, *, in_tree: bool) -> Data:
    """Return the articles with one topic; with `in_tree`, with one that has a parent or is one."""
    rows: dict[str, list[tuple[str, str]]] = {"train": [], "test": []}
    with gzip.open(common.data_file(options.data, "reuters21578.jsonl.gz"), "rt", encoding="utf-8") as file:
        for line in file:
            article = json.loads(line)
            topics = {*article["topics"]}
            topics -= {PARENTS.get(topic) for topic in topics}
            tree = {*topics} & {*PARENTS, *GROUPS}
            if article["modapte"] and len(topics) == 1 and (tree or not in_tree):
                text = f"{article['title'] or ''}\n{article['text'] or ''}".strip()
                rows[article["modapte"]].append((text, topics.pop()))
    if options.quick:
        rows = {part: [row for row in articles if row[1] != "earn"][:900] for part, articles in rows.items()}
    counts = Counter(category for _, category in rows["train"])
    kept = {name for name, number in counts.items() if number >= MIN_ARTICLES}
    is_validation = np.random.default_rng(0).permutation(len(rows["train"])) % 5 == 0
    chosen = {
        "train": [row for row, held in zip(rows["train"], is_validation, strict=True) if not held],
        "validation": [row for row, held in zip(rows["train"], is_validation, strict=True) if held],
        "test": rows["test"],
    }
    kept &= {category for _, category in chosen["train"]}
    parts = {
        part: ([text for text, name in articles if name in kept], [name for _, name in articles if name in kept])
        for part, articles in chosen.items()
    }
    return Data(parts, tuple(sorted(kept)))


def baseline_outputs(data: Data) -> dict[str, Probabilities]:
    """Return the probabilities of validation and test articles by the baseline."""
    model = linear.fit_linear(*data.parts["train"])
    scores = {part: model.scores(data.parts[part][0]) for part in ("validation", "test")}
    order = [model.categories.index(name) for name in data.categories]
    return calibrated(data, {part: softmax(values[:, order]).astype(np.float32) for part, values in scores.items()})


def network_outputs(data: Data, options: Any) -> dict[str, Probabilities]:
    """Return the probabilities of validation and test articles by a network that is trained here."""
    from classifier.model import checkpoint
    from classifier.model.keras.network import Network
    from classifier.model.tokenization import Tokenization
    from classifier.training import fit
    from classifier.training.recipes import Recipe

    encoder, _ = common.demo_data(options.cache)
    pretrained, tokenization = checkpoint.read_checkpoint(encoder), Tokenization.read(encoder, options.max_length)
    tokenized = {
        part: fit.TokenizedArticles(tokenization.pieces(texts), data.columns[part])
        for part, (texts, _) in data.parts.items()
    }
    recipe = Recipe(epochs=options.epochs, learning_rate=2e-4, max_length=options.max_length, patience=options.epochs)
    fitted = fit.fit_classifier(
        pretrained, tokenized["train"], tokenized["validation"], recipe, categories=len(data.categories)
    )
    network = Network(pretrained.shape, len(data.categories), dtype=fitted.dtype)  # type: ignore[arg-type]
    network.load(checkpoint.Checkpoint(pretrained.shape, {}, fitted.weights, encoder))
    outputs = {part: fit.predict(network, tokenized[part], size=32) for part in ("validation", "test")}
    return calibrated(data, {part: softmax(values).astype(np.float32) for part, values in outputs.items()})


def calibrated(data: Data, outputs: dict[str, Probabilities]) -> dict[str, Probabilities]:
    """Return the probabilities, scaled by the temperature of the validation articles."""
    temperature = temperature_scaling.fit_temperature(outputs["validation"], data.columns["validation"])
    return {part: temperature_scaling.apply_temperature(values, temperature) for part, values in outputs.items()}


def measure(data: Data, outputs: dict[str, Probabilities], parents: dict[str, str]) -> dict[str, Any]:
    """Return coverage and precision on the test articles, at the threshold that the validation articles choose."""
    paths = {part: category_tree.find_paths(values, data.categories, parents) for part, values in outputs.items()}
    correct = {part: path.correct(data.parts[part][1]) for part, path in paths.items()}
    confidence = {part: path.probabilities for part, path in paths.items()}
    if not parents:
        confidence, correct = ({part: each[:, 0] for part, each in values.items()} for values in (confidence, correct))
    chosen = abstention.choose_threshold(confidence["validation"], correct["validation"], TARGET)
    thresholds = np.unique(confidence["test"].reshape(len(confidence["test"]), -1)[:, -1])
    best = max((point for t in thresholds if (point := at(paths["test"], correct["test"], t))["precision"] >= TARGET),
               key=lambda point: point["coverage"])  # fmt: skip
    return {
        "threshold": round(chosen.value, 4),
        "reached": chosen.reached,
        **at(paths["test"], correct["test"], chosen.value),
        "best_coverage": best["coverage"],
    }


def at(paths: category_tree.CategoryPaths, correct: Any, threshold: float) -> dict[str, float]:
    """Return the coverage at a threshold, the share that gets the category itself, and the precision."""
    correct = correct.reshape(len(correct), -1)
    reached = paths.probabilities[:, : correct.shape[1]] >= np.float32(threshold)
    labelled, levels = reached[:, -1], reached.argmax(axis=1)
    hits = correct[np.arange(len(correct)), levels][labelled]
    return {
        "coverage": round(float(labelled.mean()), 4),
        "own_category": round(float((labelled & (levels == 0)).mean()), 4),
        "precision": round(float(hits.mean()), 4) if len(hits) else 1.0,
    }


def runs(name: str, data: Data, options: Any) -> Iterator[dict[str, Any]]:
    """Yield the figures of each model on a data set, with and without back-off."""
    sizes = {f"{part}_articles": len(names) for part, (_, names) in data.parts.items()}
    facts = {
        "data": name,
        "categories": len(data.categories),
        "with_parent": sum(category in PARENTS for category in data.categories),
        **sizes,
    }
    models = {"baseline": lambda: baseline_outputs(data), "network": lambda: network_outputs(data, options)}
    for model in options.models:
        outputs = models[model]()
        predicted = np.array(data.categories)[outputs["test"].argmax(axis=1)]
        accuracy = float((predicted == np.array(data.parts["test"][1])).mean())
        for backs_off in (False, True):
            figures = measure(data, outputs, PARENTS if backs_off else {})
            yield {**facts, "model": model, "back_off": backs_off, "accuracy": round(accuracy, 4), **figures}


def main() -> None:
    """Measure and report."""
    parser = common.data_parser(__doc__)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--models", nargs="+", default=["baseline", "network"])
    options = parser.parse_args()
    if options.quick:
        options.epochs, options.max_length, options.models = 1, 16, ["baseline"]
    measured = []
    for name, in_tree in (("all topics", False), ("topics in the tree", True)):
        for run in runs(name, read(options, in_tree=in_tree), options):
            print(run, flush=True)
            measured.append(run)
    common.report(measured, options.out)


if __name__ == "__main__":
    main()
