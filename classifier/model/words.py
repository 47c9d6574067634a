"""The words of a text, to which explanations assign their figures."""

from __future__ import annotations

import re
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Spans = NDArray[np.int64]
"""The first character of each word and the one after its last, shape (words, 2): ascending, without overlaps."""

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_LETTERS = rf"(?:[^\W{_IDEOGRAPHS}]|[\u0300-\u036f])+"  # with combining accents
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|{_LETTERS}(?:['\u2019]{_LETTERS})*|[^\w\s]+")


def find_words(text: str) -> Spans:
    """Return the words of a text: runs of letters and digits, runs of punctuation, and each ideograph alone.

    Every character except white space is in exactly one word.
    """
    ends = chain.from_iterable(match.span() for match in _WORD.finditer(text))
    return np.fromiter(ends, dtype=np.int64).reshape(-1, 2)
