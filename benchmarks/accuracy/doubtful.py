"""Measure how many wrong annotations the list of doubtful annotations finds, and what correcting them is worth.

Of the train articles' annotations, 5 % are changed on purpose: to any other category, or to the one that the baseline
finds most similar. The list at its default length is compared with lists of the same length: the articles whose
annotated category is least probable out of fold, and random ones. Then the changed annotations in the list are
corrected, as by a person who reads it, and the baseline is trained on the changed, the corrected and the original
annotations. A full pass would read every train article, and half of that is the limit of the list; it is much shorter.

A further list ranks by the mean of the out-of-fold probabilities and those of a baseline that was trained on all of the
changed annotations, as the champion was.

On R8's own test split nothing is changed. A reader read the 20 most doubtful test articles, and agreed with a doubt if
the article's main news is of the suggested category's subject, and the annotated category's subject is absent or named
only in passing. The subjects: earn, a company's results, dividends and stock splits; acq, who buys or holds a company,
a unit or shares; crude, oil and gas and their prices; trade, the exchange of goods between countries; interest, rates;
money-fx, currencies and the supply of money; grain; ship, ships, ports and their crews.

    python -m benchmarks.accuracy.doubtful --out benchmarks/results/doubtful.json
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.support import common
from classifier.articles import Probabilities
from classifier.evaluation import baseline, out_of_fold
from classifier.evaluation.out_of_fold import AnnotatedTexts, OutOfFold
from classifier.ingest.fingerprints import fingerprint
from classifier.model import confident_learning, linear
from classifier.model.softmax import softmax
from classifier.model.temperature_scaling import fit_temperature

CHANGED_SHARE = 0.05
TEST_SHARE = 0.3
LISTED_TEST_ARTICLES = 20

CHANGES = ("any other category", "most similar category")

AGREED, NEITHER = frozenset({95, 274, 756, 996, 1329, 1385, 1819}), frozenset({671, 2112})
"""Articles of R8's test file, numbered from 1, that the reader of the list agreed with, and those whose news is neither
of the annotated nor of the suggested category's subject."""

EXAMINED = AGREED | NEITHER | {197, 300, 414, 448, 476, 917, 1087, 1147, 1547, 1680, 1689}
"""All articles of R8's test file that the reader examined; others in a list count as not examined."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """The articles of a data set by split; `columns` are the categories of the train articles."""

    name: str
    train: list[common.Row]
    test: list[common.Row]
    categories: tuple[str, ...]
    groups: NDArray[np.int64]

    @property
    def columns(self) -> NDArray[np.int64]:
        """The category of each train article."""
        return np.array([self.categories.index(category) for _, category in self.train])

    def predict(self, columns: NDArray[np.int64]) -> OutOfFold:
        """Return the out-of-fold probabilities of the train articles with these annotations."""
        label_sets = [(self.categories[column],) for column in columns.tolist()]
        predicted = out_of_fold.predict_out_of_fold(
            AnnotatedTexts([[text for text, _ in self.train]], label_sets, self.groups, "single")
        )
        assert predicted is not None
        return predicted

    @cache  # noqa: B019 - there are two corpora, which live as long as the program
    def original(self) -> OutOfFold:
        """Return the out-of-fold probabilities of the train articles with their own annotations."""
        return self.predict(self.columns)

    def accuracy(self, columns: NDArray[np.int64]) -> float:
        """Return the accuracy on the test articles of a baseline that is trained on these annotations."""
        names = [self.categories[column] for column in columns.tolist()]
        texts = [[text for text, _ in part] for part in (self.train, self.test)]
        truth = [category for _, category in self.test]
        return baseline.evaluate_baseline(texts[0], names, texts[1], truth).metrics.accuracy


def corpora(options: Any) -> Iterator[Corpus]:
    """Yield BBC, with 30 % of its articles for the test, and R8 as published."""
    rows = common.read_bbc(options.data)
    of_row = groups([text for text, _ in rows])
    order = np.random.default_rng(0).permutation(of_row.max() + 1)
    is_test = order[of_row] < TEST_SHARE * len(order)
    parts = [[row for row, chosen in zip(rows, is_test, strict=True) if chosen == part] for part in (False, True)]
    yield make_corpus("BBC", parts[0], parts[1], options)
    train, test = common.demo_data(options.cache)[1]
    yield make_corpus("R8", train, test, options)


def make_corpus(name: str, train: list[common.Row], test: list[common.Row], options: Any) -> Corpus:
    """Return a corpus; with `--quick`, a part of it."""
    if options.quick:
        train, test = train[:400], test[:100]
    categories = tuple(sorted({category for _, category in train}))
    return Corpus(name, train, test, categories, groups([text for text, _ in train]))


def groups(texts: Sequence[str]) -> NDArray[np.int64]:
    """Return a number for each text, the same one for texts that differ only in case and white space."""
    numbers: dict[bytes, int] = {}
    return np.array([numbers.setdefault(fingerprint(text), len(numbers)) for text in texts])


def change(corpus: Corpus, how: str, seed: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the annotations of the train articles after some were changed, and which ones were changed."""
    generator = np.random.default_rng(seed)
    columns, size = corpus.columns, len(corpus.categories)
    changed = generator.choice(len(columns), round(CHANGED_SHARE * len(columns)), replace=False)
    others = (columns + generator.integers(1, size, len(columns))) % size
    if how == "most similar category":
        probabilities = corpus.original().probabilities.copy()
        probabilities[np.arange(len(columns)), columns] = -1
        others = probabilities.argmax(axis=1)
    result, mask = columns.copy(), np.zeros(len(columns), dtype=np.bool_)
    result[changed], mask[changed] = others[changed], True
    return result, mask


def measure(corpus: Corpus, how: str, seed: int) -> dict[str, Any]:
    """Return the precision and recall of each list, and the accuracies, for one seed."""
    columns, changed = change(corpus, how, seed)
    predicted = corpus.predict(columns)
    doubts = confident_learning.find_doubts(predicted.probabilities, columns, predicted.learned)
    length = min(doubts.estimated, len(columns) // 2)
    own = predicted.probabilities[np.arange(len(columns)), columns]
    listed = doubts.order()[:length]
    mean, estimated = average(predicted, columns, learned_probabilities(corpus, columns))
    lists = {
        "doubtful": listed,
        "least_probable": np.argsort(own, kind="stable")[:length],
        "random": np.random.default_rng([seed, 1]).permutation(len(columns))[:length],
        "mean_with_baseline": mean,
    }
    result: dict[str, Any] = {
        "changed": int(changed.sum()),
        "listed": length,
        "read": length / len(columns),
        "estimated_with_baseline": estimated,
    }
    for name, rows in lists.items():
        correct = int(changed[rows[:length]].sum())
        result |= {f"{name}_precision": correct / max(length, 1), f"{name}_recall": correct / int(changed.sum())}
    corrected = columns.copy()
    corrected[listed] = corpus.columns[listed]
    for name, trained_on in (("changed", columns), ("corrected", corrected), ("original", corpus.columns)):
        result[f"accuracy_{name}"] = corpus.accuracy(trained_on)
    return result


def average(predicted: OutOfFold, columns: NDArray[np.int64], learned: Probabilities) -> tuple[NDArray[np.int64], int]:
    """Return the order of doubt by the mean of both probabilities, and the estimated number of wrong annotations."""
    mean = (predicted.probabilities + learned) / 2
    doubts = confident_learning.find_doubts(mean, columns, predicted.learned)
    return doubts.order(), doubts.estimated


def learned_probabilities(corpus: Corpus, columns: NDArray[np.int64]) -> Probabilities:
    """Return the probabilities of train articles by the baseline that was trained on them."""
    texts = [text for text, _ in corpus.train]
    scores = linear.fit_linear(texts, [corpus.categories[column] for column in columns.tolist()]).scores(texts)
    raw = softmax(scores).astype(np.float32)
    calibrated: Probabilities = softmax(scores / fit_temperature(raw, columns)).astype(np.float32)
    return calibrated


def read_test_split(corpus: Corpus) -> dict[str, Any]:
    """Return the most doubtful annotations of the test split, as row numbers, and how many a reader agrees with."""
    texts = [[text for text, _ in part] for part in (corpus.train, corpus.test)]
    label_sets = [(category,) for part in (corpus.train, corpus.test) for _, category in part]
    predicted = out_of_fold.predict_out_of_fold(AnnotatedTexts(texts, label_sets, corpus.groups, "single"))
    assert predicted is not None
    own = slice(len(corpus.train), None)
    doubts = confident_learning.find_doubts(
        predicted.probabilities[own], predicted.annotated[own], predicted.learned[own]
    )
    rows = (doubts.order()[:LISTED_TEST_ARTICLES] + 1).tolist()
    pairs = [f"{row}: {corpus.test[row - 1][1]} or {predicted.categories[doubts.suggested[row - 1]]}" for row in rows]
    return {
        "dataset": f"{corpus.name}, test split",
        "estimated_wrong": doubts.estimated,
        **count_examined(rows),
        "listed_rows": ", ".join(pairs),
    }


def count_examined(rows: Sequence[int]) -> dict[str, int]:
    """Return how many articles are listed, how many of these the reader examined, and what the reader found."""
    counted = {"examined": EXAMINED, "agreed": AGREED, "neither": NEITHER}
    return {"listed": len(rows), **{name: len(articles.intersection(rows)) for name, articles in counted.items()}}


def main() -> None:
    """Measure, print a line for each seed and report."""
    parser = common.data_parser(__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    options = parser.parse_args()
    seeds, runs = options.seeds[: 1 if options.quick else None], []
    for corpus in corpora(options):
        for how in CHANGES:
            measured = []
            for seed in seeds:
                measured.append(measure(corpus, how, seed))
                print(corpus.name, how, seed, measured[-1], flush=True)
            names = dict.fromkeys(name for each in measured for name in each)
            means = {
                name: round(float(np.mean([each[name] for each in measured if name in each])), 4) for name in names
            }
            runs.append({"dataset": corpus.name, "changes": how, "seeds": len(seeds), **means})
    runs.append(read_test_split(corpus))
    common.report(runs, options.out)


if __name__ == "__main__":
    main()
