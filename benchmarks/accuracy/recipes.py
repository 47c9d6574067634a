"""Measure the test accuracy of each recipe, on the articles that it was made for.

Each seed has a project of its own with an embedded Postgres: articles are ingested, near-duplicates stay in one split,
a model is trained from the demo's encoder, and model and baseline (TF-IDF and LinearSVC) are evaluated on the test
articles. If the recipe makes an ensemble, its network alone and its cost in labelling are measured too. Every seed
splits BBC differently: 70 % train, 10 % validation, 20 % test. C50 and R8 keep their published test articles. A tenth
of their train articles is for validation: in C50 the newest ones, because its test articles are newer still.

    python -m benchmarks.accuracy.recipes bbc --seeds 3 --out benchmarks/results/recipe-bbc.json
    python -m benchmarks.accuracy.recipes c50 --set long_texts=chunk max_length=128 stride=126 max_chunks=4

With `--as-published`, near-duplicates in several splits and repeated test articles stay, as in published figures. This
bypasses the database, which would reject them.
"""

from __future__ import annotations

import csv
import logging
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.support import common
from classifier.articles import AnnotatedArticle
from classifier.training.recipes import Recipe

Article = tuple[str, str, str]
"""Text, category and the source's split, which may be empty."""


def main() -> None:
    """Train and evaluate every seed, and report the means."""
    parser = common.data_parser(__doc__)
    parser.add_argument("recipe", choices=sorted(ARTICLES))
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds: 0, 1, ...")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="changes to the recipe")
    parser.add_argument("--as-published", action="store_true", help="keep near-duplicates in the splits of the source")
    options = parser.parse_args()
    if options.as_published and options.recipe == "bbc":
        parser.error("BBC has no published split")
    encoder, r8 = common.demo_data(options.cache)
    articles = list(ARTICLES[options.recipe](options.data, r8))
    changed: dict[str, Any] = dict(pair.split("=", 1) for pair in options.set)
    if options.quick:
        articles, changed = thin(articles), {**changed, "epochs": "1", "max_length": "32"}
    results = []
    for seed in range(options.seeds):
        result, _ = common.run_in_process(
            as_published if options.as_published else run, options.recipe, articles, encoder, seed, changed
        )
        print("  ".join(f"{key} {value}" for key, value in result.items()), flush=True)
        results.append(result)
    common.report([{**summary(options.recipe, changed, results), "as_published": options.as_published}], options.out)


def bbc(data: Path, _: Any) -> Iterator[Article]:
    """Yield BBC's articles."""
    yield from ((text, category, "") for text, category in common.read_bbc(data))


def c50(data: Path, _: Any) -> Iterator[Article]:
    """Yield C50's articles: 50 train articles an author, of which the newest five are for validation, and 50 for test.

    They are numbered in the order of their publication. Nine in ten of an author's test articles are newer than all of
    that author's train articles.
    """
    for part in ("train", "test"):
        rows = sorted(common.read_c50(data, part), key=lambda row: (row["author"], document_number(row["document_id"])))
        for position, row in enumerate(rows):
            validates = part == "train" and position % 50 >= 45
            yield row["text"], row["author"], "validation" if validates else part


def document_number(document: str) -> int:
    """Return the number of a document of C50; a later document has a higher number."""
    return int(document.removesuffix("newsML"))


def r8(_: Path, parts: tuple[list[common.Row], list[common.Row]]) -> Iterator[Article]:
    """Yield R8's articles."""
    for name, rows in zip(("", "test"), parts, strict=True):
        yield from ((text, category, name) for text, category in rows)


TIMED = 300
"""The approximate number of test articles on which the network and the ensemble are timed."""

ARTICLES: dict[str, Callable[[Path, Any], Iterator[Article]]] = {"bbc": bbc, "c50": c50, "r8": r8}


def thin(articles: list[Article]) -> list[Article]:
    """Return 60 articles of two categories, from both splits."""
    names = sorted({category for _, category, _ in articles})[:2]
    by_category = [[article for article in articles if article[1] == name] for name in names]
    return [article for group in by_category for article in group[:: max(1, len(group) // 30)][:30]]


def run(recipe: str, articles: list[Article], encoder: Path, seed: int, changed: dict[str, str]) -> dict[str, Any]:
    """Ingest, train and evaluate in a new project; return the figures of a seed."""
    logging.basicConfig(level=logging.WARNING)
    from classifier import embedded_postgres
    from classifier.ingest.columns import Columns
    from classifier.ingest.splits import Proportions
    from classifier.pipeline.ingest import units
    from classifier.pipeline.promotion import evaluation
    from classifier.pipeline.training import candidate
    from classifier.settings import Settings
    from classifier.store import schema
    from classifier.workspace import open_workspace

    has_split = any(split for _, _, split in articles)
    shares = Proportions(0.9, 0.1, 0.0) if has_split else Proportions(0.7, 0.1, 0.2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{recipe}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "category", "split"), *articles])
        settings = Settings(home=Path(folder), split_key=f"seed {seed}", _env_file=None)
        workspace = open_workspace(settings, create=True)
        with workspace.database.connect() as connection:
            schema.upgrade(connection)
        columns = Columns(text="text", category="category", split="split")
        units.ingest_files(workspace, str(path), units.IngestOptions(columns, proportions=shares))
        hyper = hyper_parameters(recipe, seed, changed)
        trained = candidate.train(workspace, hyper, encoder_name=str(encoder))
        evaluated = evaluation.evaluate(workspace)
        network = measure_network(workspace) if hyper.ensemble != "none" else {}
        workspace.database.dispose()
        embedded_postgres.leave(settings.postgres_directory)
    assert isinstance(trained, candidate.Trained)
    return {
        "seed": seed,
        "train_articles": trained.train_articles,
        "test_articles": evaluated.metrics.articles,
        "accuracy": round(evaluated.metrics.accuracy, 4),
        "macro_f1": round(evaluated.metrics.macro_f1, 4),
        "baseline_accuracy": round(evaluated.baseline.accuracy, 4),
        "baseline_macro_f1": round(evaluated.baseline.macro_f1, 4),
        "epoch": trained.best_epoch,
        "validation_macro_f1": round(trained.validation_macro_f1, 4),
        "train_seconds": trained.seconds,
        "baseline_train_seconds": round(evaluated.baseline_train_seconds, 1),
        **network,
    }


def as_published(
    recipe: str, articles: list[Article], encoder: Path, seed: int, changed: dict[str, str]
) -> dict[str, Any]:
    """Train and evaluate on the source's splits; return the figures of a seed."""
    logging.basicConfig(level=logging.WARNING)
    from classifier.evaluation import baseline
    from classifier.evaluation.metrics import compute_metrics
    from classifier.inference.fine_tuned_classifier import FineTunedClassifier
    from classifier.inference.labeller import Labeller
    from classifier.model import checkpoint
    from classifier.model.fine_tuned import FineTunedModel
    from classifier.model.tokenization import Tokenization
    from classifier.pipeline.training import ensembling
    from classifier.pipeline.training.session import tokenize_articles
    from classifier.training import fit

    hyper, (train, validation, test) = hyper_parameters(recipe, seed, changed), published_splits(articles, seed)
    categories = tuple(sorted({article.category for article in [*train, *validation]}))
    pretrained, tokenization = (
        checkpoint.read_checkpoint(encoder),
        Tokenization.read(encoder, hyper.max_length, hyper.chunking, read_title=hyper.read_title),
    )
    train_pieces, validation_pieces = (
        tokenize_articles(tokenization, part, categories) for part in (train, validation)
    )
    fitted = fit.fit_classifier(pretrained, train_pieces, validation_pieces, hyper, categories=len(categories))
    tuned = replace(pretrained, weights=fitted.weights)
    classifier = FineTunedClassifier(FineTunedModel(tuned, tokenization, categories))
    ensemble = None
    if hyper.ensemble != "none":
        ensemble = ensembling.fit_ensemble(classifier, train, validation, hyper.ensemble)
        ensemble = ensemble and ensembling.refit_with_validation(ensemble, classifier.model, train, validation)
    network = classifier.labeller()
    truth, texts = [article.category for article in test], [article.text for article in test]

    def measure(labeller: Labeller) -> Any:
        return compute_metrics(truth, [categories[column] for column in labeller.probabilities(texts).argmax(axis=1)])

    annotated = [*validation, *train]
    baseline_predictions, seconds = baseline.predict_baseline(
        [article.text for article in annotated], [article.category for article in annotated], texts
    )
    measured = {
        "": measure(replace(network, ensemble=ensemble)),
        "baseline_": compute_metrics(truth, baseline_predictions),
        "network_": measure(network),
    }
    return {
        "seed": seed,
        "train_articles": len(train),
        "test_articles": len(test),
        **{f"{prefix}accuracy": round(metrics.accuracy, 4) for prefix, metrics in measured.items()},
        **{f"{prefix}macro_f1": round(metrics.macro_f1, 4) for prefix, metrics in measured.items()},
        "epoch": fitted.best_epoch,
        "validation_macro_f1": round(fitted.history[fitted.best_epoch - 1].macro_f1, 4),
        "train_seconds": round(fitted.seconds, 1),
        "baseline_train_seconds": round(seconds, 1),
    }


def hyper_parameters(recipe: str, seed: int, changed: dict[str, str]) -> Recipe:
    """Return a recipe with this seed and these changes."""
    from classifier.training.recipes import files

    return files.load_recipe(recipe, **{"seed": seed, **{key: parse_value(value) for key, value in changed.items()}})


def published_splits(articles: list[Article], seed: int) -> Iterator[list[AnnotatedArticle]]:
    """Yield the articles for train, validation and test; a tenth of those without a split is for validation."""
    by_split: dict[str, list[AnnotatedArticle]] = {name: [] for name in ("train", "validation", "test", "")}
    for row, (text, category, split) in enumerate(articles):
        by_split[split].append(AnnotatedArticle(row, text, b"", (category,)))
    without_split = by_split[""]
    random.Random(seed).shuffle(without_split)
    validation = len(without_split) // 10
    yield by_split["train"] + without_split[validation:]
    yield by_split["validation"] + without_split[:validation]
    yield by_split["test"]


def measure_network(workspace: Any) -> dict[str, Any]:
    """Return the scores of an ensemble's network alone, and the speed of both on some of the test articles.

    `wrong_in_both` counts the test articles that both the network and the linear classifier predict wrongly.
    """
    from classifier import registry
    from classifier.evaluation.metrics import compute_metrics
    from classifier.inference.fine_tuned_classifier import FineTunedClassifier
    from classifier.store import annotated_articles

    with workspace.database.connect() as connection:
        files = registry.open_artefact(registry.find(connection, None))
        test = annotated_articles.load_split(connection, "test")
    texts, truth = [article.text for article in test], [article.category for article in test]
    timed = texts[:: max(1, len(texts) // TIMED)]
    ensemble = FineTunedClassifier(files.load()).labeller(home=workspace.settings.home)
    network = replace(ensemble, ensemble=None)
    seconds: dict[str, list[float]] = {"network": [], "ensemble": []}
    predicted = [files.categories[column] for column in network.probabilities(texts).argmax(axis=1)]
    metrics, linear_predicted = compute_metrics(truth, predicted), predicted
    if ensemble.ensemble:
        linear_predicted = [
            files.categories[column] for column in ensemble.ensemble.linear.scores(texts).argmax(axis=1)
        ]
    for _ in range(3):  # alternating
        for name, labeller in (("network", network), ("ensemble", ensemble)):
            start = time.perf_counter()
            labeller.probabilities(timed)
            seconds[name].append(time.perf_counter() - start)
    network_s, ensemble_s = (statistics.median(seconds[name]) for name in ("network", "ensemble"))
    return {
        "network_accuracy": round(metrics.accuracy, 4),
        "network_macro_f1": round(metrics.macro_f1, 4),
        "wrong_in_both": sum(
            category not in predictions
            for category, *predictions in zip(truth, predicted, linear_predicted, strict=True)
        ),
        "network_docs_per_s": round(len(timed) / network_s, 1),
        "ensemble_docs_per_s": round(len(timed) / ensemble_s, 1),
        "ensemble_cost": round(ensemble_s / network_s - 1, 3),
    }


def parse_value(value: str) -> str | int | float:
    """Return a number if the text is one, else the text."""
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def summary(recipe: str, changed: dict[str, str], results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean and spread over the seeds."""
    figures: dict[str, Any] = {"recipe": recipe, "set": changed, "seeds": len(results)}
    names = "accuracy", "baseline_accuracy", "network_accuracy", "macro_f1", "baseline_macro_f1", "ensemble_cost"
    for name in (name for name in names if name in results[0]):
        values = [result[name] for result in results]
        figures[name] = round(statistics.mean(values), 4)
        figures[f"{name}_spread"] = [min(values), max(values)]
    return {**figures, "runs": results}


if __name__ == "__main__":
    main()
