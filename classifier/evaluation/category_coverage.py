"""Rules of the gate about categories that one of the models does not know. They report, and never fail."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from classifier.evaluation.gate_rules import MAX_NAMED, MAX_PARTS, Comparison, RuleResult
from classifier.evaluation.test_articles import Predictions, TestArticles
from classifier.plurals import plural


def check_categories(articles: TestArticles, candidate: Predictions) -> RuleResult:
    """Warn of categories of the test articles that the candidate cannot predict; this never fails.

    Each lowers macro-F1 already, so a model may still be better than none, or than the champion.
    """
    names, counts = np.unique(articles.truth, return_counts=True)
    annotated = {str(name): int(count) for name, count in zip(names, counts, strict=True)}
    return check_known(annotated, candidate.categories, effect="each label of such an article is wrong")


def without_new_categories(compared: Comparison) -> Comparison:
    """Return the comparison on the articles of categories that the champion knows; the same if it knows all, or none.

    The champion is wrong on every other article, however good it is.
    """
    assert compared.champion is not None
    rows = np.isin(compared.test_articles.truth, compared.champion.categories)
    if rows.all() or not rows.any():
        return compared
    return replace(
        compared,
        test_articles=compared.test_articles.of(rows),
        candidate=compared.candidate.of(rows),
        champion=compared.champion.of(rows),
        baseline=compared.baseline[rows],
    )


def check_new_categories(compared: Comparison) -> RuleResult:
    """Return the candidate's F1 of the categories that the champion does not know; this never fails."""
    assert compared.champion is not None
    truth, predicted = compared.test_articles.truth, compared.candidate.predicted
    new = sorted({*truth.tolist()} - {*compared.champion.categories})
    counts = {
        name: (
            int((truth == name).sum()),
            int((predicted == name).sum()),
            int(((truth == name) & (predicted == name)).sum()),
        )
        for name in new
    }
    return describe_new_categories(counts)


def describe_new_categories(counts: Mapping[str, tuple[int, int, int]]) -> RuleResult:
    """Return the F1 of new categories from their numbers of annotated and predicted articles and of hits."""
    f1 = {name: 2 * hits / (annotated + predicted) for name, (annotated, predicted, hits) in counts.items()}
    largest = sorted(counts, key=lambda name: -counts[name][0])
    named = ", ".join(
        f"{name} (F1 {f1[name]:.2f} on {plural(counts[name][0], 'article')})" for name in largest[:MAX_NAMED]
    )
    more = f" and {len(largest) - MAX_NAMED:,} more" if len(largest) > MAX_NAMED else ""
    reason = (
        f"the champion does not know {plural(len(largest), 'category', 'categories')} of the test articles: "
        f"{named}{more}; the comparison with it leaves them out"
    )
    statistics = {"f1": {name: f1[name] for name in largest[:MAX_PARTS]}}
    return RuleResult("new categories", "pass", reason, statistics)


def check_known(annotated: Mapping[str, int], categories: Iterable[str], *, effect: str) -> RuleResult:
    """Warn of annotated categories, with their numbers of articles, that are not among a model's."""
    names = frozenset(categories)
    unknown = {name: count for name, count in annotated.items() if name not in names}
    if not unknown:
        return RuleResult(
            "unknown categories", "pass", f"the model knows all {len(annotated):,} categories of the test articles"
        )
    named = ", ".join(f"{name} ({count:,})" for name, count in list(unknown.items())[:MAX_NAMED])
    more = f" and {len(unknown) - MAX_NAMED:,} more" if len(unknown) > MAX_NAMED else ""
    reason = (
        f"the model cannot predict {len(unknown):,} of {len(annotated):,} categories of the test articles, because it "
        f"was not trained on them: {named}{more}; {effect}"
    )
    return RuleResult("unknown categories", "warning", reason, {"unknown": dict(list(unknown.items())[:MAX_PARTS])})
