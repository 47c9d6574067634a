"""The words of a text, to which explanations assign their figures."""

from __future__ import annotations

import re
import unicodedata
from functools import cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray

Spans = NDArray[np.int64]
"""The first character of each word and the one after its last, shape (words, 2): ascending, without overlaps."""

_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_JOINERS = "\u200c\u200d"
_MARKED = (range(0x0300, 0x20000), range(0xE0100, 0xE01F0))
"""The characters among which the marks are: accents, vowel signs and variation selectors."""


def find_words(text: str) -> Spans:
    """Return the words of a text: runs of letters and digits, runs of punctuation, and each ideograph alone.

    A mark, such as a vowel sign, belongs to the letter before it. Every character except white space is in exactly one
    word.
    """
    ends = chain.from_iterable(match.span() for match in _pattern().finditer(text))
    return np.fromiter(ends, dtype=np.int64).reshape(-1, 2)


@cache
def _pattern() -> re.Pattern[str]:
    codes = chain.from_iterable(_MARKED)
    marks = "".join(chr(code) for code in codes if unicodedata.category(chr(code)) in {"Mn", "Mc"})
    letters = rf"(?:[^\W{_IDEOGRAPHS}]|[{marks}{_JOINERS}])+"
    return re.compile(rf"[{_IDEOGRAPHS}][{marks}]*|{letters}(?:['\u2019]{letters})*|[^\w\s]+")
