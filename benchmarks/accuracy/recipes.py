"""How good the recipes are: what `classifier train --recipe NAME` reaches on the articles that each is made for.

Each seed has a project of its own, embedded Postgres and all: articles are ingested, near-duplicates kept on one side
of the split, a model is trained from the demo's encoder and evaluated on the test articles, and the baseline (TF-IDF
and LinearSVC) on the same ones. Of an ensemble, the network alone is measured too, and the cost in labelling.
BBC is dealt anew with every seed: seven tenths train, a tenth validates, a fifth tests. C50 and R8 keep their published
test articles; a tenth of their train articles validate, C50's newest ones, since its test articles are newer still.

    python -m benchmarks.accuracy.recipes bbc --seeds 3 --out benchmarks/results/recipe-bbc.json
    python -m benchmarks.accuracy.recipes c50 --set long_articles=chunk max_length=128 stride=126 max_chunks=4

With `--as-published`, near-duplicates on both sides of a published split and repeated test articles stay, as in the
figures that the literature has. None of it goes through a database, which would not let them.
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
"""Text, category, and the split that its source puts it in, empty where it says nothing."""


def main() -> None:
    """Train and evaluate every seed, and report the mean of the recipe."""
    parser = common.data_parser(__doc__)
    parser.add_argument("recipe", choices=sorted(ARTICLES))
    parser.add_argument("--seeds", type=int, default=1, help="how many: 0, 1, ...")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="what differs from the recipe")
    parser.add_argument("--as-published", action="store_true", help="leave near-duplicates where the source has them")
    options = parser.parse_args()
    if options.as_published and options.recipe == "bbc":
        parser.error("BBC has no published split")
    encoder, r8 = common.demo_data(options.cache)
    articles = list(ARTICLES[options.recipe](options.data, r8))
    changed: dict[str, Any] = dict(pair.split("=", 1) for pair in options.set)
    if options.quick:
        articles, changed = thin(articles), {**changed, "epochs": "1", "max_length": "32"}
    found = []
    for seed in range(options.seeds):
        one, _ = common.in_a_process(
            as_published if options.as_published else run, options.recipe, articles, encoder, seed, changed
        )
        print("  ".join(f"{key} {value}" for key, value in one.items()), flush=True)
        found.append(one)
    common.report([{**summary(options.recipe, changed, found), "as_published": options.as_published}], options.out)


def bbc(data: Path, _: Any) -> Iterator[Article]:
    """Yield BBC's articles."""
    yield from ((text, category, "") for text, category in common.read_bbc(data))


def c50(data: Path, _: Any) -> Iterator[Article]:
    """Yield C50's articles, 50 an author to train on, of which the newest five validate, and 50 to test on.

    They are numbered as they came: nine in ten of an author's test articles are newer than all of his train articles.
    """
    for part in ("train", "test"):
        rows = sorted(common.read_c50(data, part), key=lambda row: (row["author"], document_number(row["document_id"])))
        for position, row in enumerate(rows):
            validates = part == "train" and position % 50 >= 45
            yield row["text"], row["author"], "validation" if validates else part


def document_number(document: str) -> int:
    """Return the number of one of C50's documents; a later one's is higher."""
    return int(document.removesuffix("newsML"))


def r8(_: Path, parts: tuple[list[common.Row], list[common.Row]]) -> Iterator[Article]:
    """Yield R8's articles."""
    for name, rows in zip(("", "test"), parts, strict=True):
        yield from ((text, category, name) for text, category in rows)


TIMED = 300
"""Test articles, about, that the network and the ensemble label in turn."""

ARTICLES: dict[str, Callable[[Path, Any], Iterator[Article]]] = {"bbc": bbc, "c50": c50, "r8": r8}


def thin(articles: list[Article]) -> list[Article]:
    """Return 60 articles of two categories, with both of their splits."""
    names = sorted({category for _, category, _ in articles})[:2]
    rows = [[one for one in articles if one[1] == name] for name in names]
    return [one for some in rows for one in some[:: max(1, len(some) // 30)][:30]]


def run(recipe: str, articles: list[Article], encoder: Path, seed: int, changed: dict[str, str]) -> dict[str, Any]:
    """Ingest, train and evaluate in a project of its own; return a seed's figures."""
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

    own = any(split for _, _, split in articles)
    shares = Proportions(0.9, 0.1, 0.0) if own else Proportions(0.7, 0.1, 0.2)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{recipe}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "category", "split"), *articles])
        settings = Settings(home=Path(folder), split_key=f"seed {seed}", _env_file=None)
        workspace = open_workspace(settings)
        with workspace.database.connect() as connection:
            schema.upgrade(connection)
        columns = Columns(text="text", category="category", split="split")
        units.ingest_files(workspace, str(path), columns, proportions=shares)
        hyper = hyper_parameters(recipe, seed, changed)
        trained = candidate.train(workspace, hyper, encoder_name=str(encoder))
        found = evaluation.evaluate(workspace)
        alone = network_alone(workspace) if hyper.ensemble != "none" else {}
        workspace.database.dispose()
        embedded_postgres.leave(settings.postgres_directory)
    assert isinstance(trained, candidate.Trained)
    return {
        "seed": seed,
        "train_articles": trained.train_articles,
        "test_articles": found.metrics.articles,
        "accuracy": round(found.metrics.accuracy, 4),
        "macro_f1": round(found.metrics.macro_f1, 4),
        "baseline_accuracy": round(found.baseline.accuracy, 4),
        "baseline_macro_f1": round(found.baseline.macro_f1, 4),
        "epoch": trained.best_epoch,
        "validation_macro_f1": round(trained.validation_macro_f1, 4),
        "train_seconds": trained.seconds,
        "baseline_train_seconds": round(found.baseline_train_seconds, 1),
        **alone,
    }


def as_published(
    recipe: str, articles: list[Article], encoder: Path, seed: int, changed: dict[str, str]
) -> dict[str, Any]:
    """Train and evaluate on articles as they are dealt by their source; return a seed's figures."""
    logging.basicConfig(level=logging.WARNING)
    from classifier.evaluation import baseline
    from classifier.evaluation.metrics import compute_metrics
    from classifier.inference import engines
    from classifier.inference.labeller import Labeller
    from classifier.model import checkpoint
    from classifier.model.tokenization import Tokenization
    from classifier.pipeline.training import ensembling
    from classifier.pipeline.training.session import tokenized
    from classifier.training import fit

    hyper, (train, validation, test) = hyper_parameters(recipe, seed, changed), dealt(articles, seed)
    categories = tuple(sorted({article.category for article in [*train, *validation]}))
    pretrained, tokenization = (
        checkpoint.read_checkpoint(encoder),
        Tokenization.read(encoder, hyper.max_length, hyper.chunking),
    )
    learnt, validated = (tokenized(tokenization, part, categories) for part in (train, validation))
    fitted = fit.fit_classifier(pretrained, learnt, validated, hyper, categories=len(categories))
    tuned = replace(pretrained, weights=fitted.weights)
    ensemble = None
    if hyper.ensemble != "none":
        ensemble = ensembling.fit_ensemble(tuned, tokenization, categories, train, validation, hyper.ensemble)
        ensemble = ensemble and ensembling.refit_temperature(ensemble, train, validation)
    network = Labeller(tokenization, engines.for_checkpoint(tuned, len(categories)), categories)
    truth, texts = [article.category for article in test], [article.text for article in test]

    def of(labeller: Labeller) -> Any:
        return compute_metrics(truth, [categories[column] for column in labeller.probabilities(texts).argmax(axis=1)])

    rest = [*validation, *train]
    guessed, seconds = baseline.predict([one.text for one in rest], [one.category for one in rest], texts)
    measured = {
        "": of(replace(network, ensemble=ensemble)),
        "baseline_": compute_metrics(truth, guessed),
        "network_": of(network),
    }
    return {
        "seed": seed,
        "train_articles": len(train),
        "test_articles": len(test),
        **{f"{whose}accuracy": round(one.accuracy, 4) for whose, one in measured.items()},
        **{f"{whose}macro_f1": round(one.macro_f1, 4) for whose, one in measured.items()},
        "epoch": fitted.best_epoch,
        "validation_macro_f1": round(fitted.history[fitted.best_epoch - 1].macro_f1, 4),
        "train_seconds": round(fitted.seconds, 1),
        "baseline_train_seconds": round(seconds, 1),
    }


def hyper_parameters(recipe: str, seed: int, changed: dict[str, str]) -> Recipe:
    """Return the project's recipe of that name, with this seed and what is to differ."""
    from classifier.training.recipes import files

    return files.load_recipe(recipe, **{"seed": seed, **{key: typed(value) for key, value in changed.items()}})


def dealt(articles: list[Article], seed: int) -> Iterator[list[AnnotatedArticle]]:
    """Yield the articles to train on, to validate on and to test on; of those that are not dealt, a tenth validates."""
    by_split: dict[str, list[AnnotatedArticle]] = {name: [] for name in ("train", "validation", "test", "")}
    for row, (text, category, split) in enumerate(articles):
        by_split[split].append(AnnotatedArticle(row, text, b"", category))
    rest = by_split[""]
    random.Random(seed).shuffle(rest)
    yield by_split["train"] + rest[len(rest) // 10 :]
    yield by_split["validation"] + rest[: len(rest) // 10]
    yield by_split["test"]


def network_alone(workspace: Any) -> dict[str, Any]:
    """Return what an ensemble's network answers alone, and how fast both label some of the test articles.

    `wrong_in_both` are the test articles of which neither the network nor the linear classifier says the category.
    """
    from classifier import registry
    from classifier.evaluation.metrics import compute_metrics
    from classifier.inference import engines
    from classifier.inference.labeller import Labeller
    from classifier.store import reads

    with workspace.database.connect() as connection:
        files = registry.open_artefact(registry.find(connection, None))
        test = reads.annotated_articles(connection, "test")
    texts, truth = [one.text for one in test], [one.category for one in test]
    timed = texts[:: max(1, len(texts) // TIMED)]
    blended = Labeller.of(files, engines.choose_engine(files), home=workspace.settings.home)
    network = replace(blended, ensemble=None)
    seconds: dict[str, list[float]] = {"network": [], "ensemble": []}
    answers = [files.categories[column] for column in network.probabilities(texts).argmax(axis=1)]
    found, others = compute_metrics(truth, answers), answers
    if blended.ensemble:
        others = [files.categories[column] for column in blended.ensemble.linear.scores(texts).argmax(axis=1)]
    for _ in range(3):  # in turn
        for name, labeller in (("network", network), ("ensemble", blended)):
            start = time.perf_counter()
            labeller.probabilities(timed)
            seconds[name].append(time.perf_counter() - start)
    network_s, blend_s = (statistics.median(seconds[name]) for name in ("network", "ensemble"))
    return {
        "network_accuracy": round(found.accuracy, 4),
        "network_macro_f1": round(found.macro_f1, 4),
        "wrong_in_both": sum(right not in said for right, *said in zip(truth, answers, others, strict=True)),
        "network_docs_per_s": round(len(timed) / network_s, 1),
        "blend_docs_per_s": round(len(timed) / blend_s, 1),
        "blend_cost": round(blend_s / network_s - 1, 3),
    }


def typed(value: str) -> str | int | float:
    """Return a number where it is one."""
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def summary(recipe: str, changed: dict[str, str], found: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the mean and spread of the seeds."""
    figures: dict[str, Any] = {"recipe": recipe, "set": changed, "seeds": len(found)}
    names = "accuracy", "baseline_accuracy", "network_accuracy", "macro_f1", "baseline_macro_f1", "blend_cost"
    for name in (one for one in names if one in found[0]):
        values = [one[name] for one in found]
        figures[name] = round(statistics.mean(values), 4)
        figures[f"{name}_spread"] = [min(values), max(values)]
    return {**figures, "runs": found}


if __name__ == "__main__":
    main()
