"""Texts that a model breaks on are found, and nothing else is blamed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from classifier.inference import bisection


@dataclass(frozen=True)
class Row:
    text: str


class Poisoned:
    """Breaks on texts with "poison" in them, and on the tokenizer's side on those with "unreadable"."""

    def prepare(self, texts):
        if any("unreadable" in text for text in texts):
            raise ValueError("no such character")
        return texts

    def run(self, texts):
        if any("poison" in text for text in texts):
            raise RuntimeError("cannot\0 read \ud800\nthis")
        return np.array([[0.25, 0.75]] * len(texts), dtype=np.float32)


def rows(*texts):
    return [Row(text) for text in texts]


def test_articles_that_break_the_model_are_found_and_the_others_are_labelled():
    result = bisection.label_articles(Poisoned(), rows("x", "poison", "y", "unreadable", "poison two"))
    assert [failed.text for failed in result.articles] == ["x", "y"]
    assert result.probabilities.tolist() == [[0.25, 0.75]] * 2
    assert [(failed.article.text, failed.reason) for failed in result.failed] == [
        ("poison", "RuntimeError: cannot read ?"),
        ("unreadable", "ValueError: no such character"),
        ("poison two", "RuntimeError: cannot read ?"),
    ]


def test_a_reason_never_quotes_the_text():
    class Quoting(Poisoned):
        def run(self, texts):
            if "poison" in texts[0]:
                raise RuntimeError(f"cannot read {texts[0]!r}")
            return super().run(texts)

    (failed,) = bisection.label_articles(Quoting(), rows("a secret about poison")).failed
    assert failed.reason == "RuntimeError: (the message quotes the text)"


def test_what_cannot_be_tokenised_is_left_to_the_bisection():
    assert bisection.prepare_articles(Poisoned(), rows("x", "unreadable")) is None
    assert bisection.prepare_articles(Poisoned(), rows("x")) == ["x"]


@pytest.mark.parametrize("fault", [MemoryError(), OSError(), RuntimeError("the model is broken")])
def test_what_is_wrong_with_every_text_is_raised(fault):
    class Broken(Poisoned):
        def run(self, _):
            raise fault

    with pytest.raises(type(fault)):
        bisection.label_articles(Broken(), rows("x", "y", "z"))
