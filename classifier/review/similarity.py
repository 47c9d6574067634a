"""How similar texts are: the cosine of their TF-IDF vectors, which needs no model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_FEATURES = 2**18  # words are hashed, so no vocabulary is kept


def similarities(text: str, others: Sequence[str]) -> NDArray[np.float64]:
    """Return the similarity of a text to each of the others, from 0 to 1; the others decide which words are rare."""
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer  # takes a second to import

    if not others:
        return np.empty(0)
    vectorizer = HashingVectorizer(n_features=_FEATURES, alternate_sign=False, norm=None)
    transformer = TfidfTransformer(sublinear_tf=True)
    vectors = transformer.fit_transform(vectorizer.transform(others))
    own = transformer.transform(vectorizer.transform([text]))
    return np.clip(np.asarray((vectors @ own.T).toarray()[:, 0], dtype=np.float64), 0.0, 1.0)
