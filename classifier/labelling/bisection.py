"""Find the texts that a model breaks on, and label all the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from classifier.articles import Probabilities

Compute = Callable[[Sequence[str]], Probabilities]
"""Turns texts into probabilities, in the texts' order: (texts, categories)."""

_PROBE = "a"
"""A text that every working model can label."""


def outcomes(compute: Compute, texts: Sequence[str]) -> list[NDArray[np.float32] | str]:
    """Return each text's probabilities, (categories,), or in one line why the model breaks on it.

    The texts are halved around whatever breaks the model. A fault of the machine, or of the whole
    model, is raised as it is: no text is to blame for it.
    """
    if not texts:
        return []
    try:
        found = compute(texts)
    except (MemoryError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever the engine raises, one text is the cause
        if len(texts) == 1:
            compute([_PROBE])  # raises where the text is not to blame
            return [f"{type(error).__name__}: {_first_line(error)}"]
    else:
        return [row if np.isfinite(row).all() else "its probabilities are not numbers" for row in found]
    half = len(texts) // 2
    return [*outcomes(compute, texts[:half]), *outcomes(compute, texts[half:])]


def _first_line(error: Exception) -> str:
    """Return what every database can keep: without NUL and halves of characters."""
    line = (str(error).replace("\0", "").splitlines() or [""])[0][:500]
    return line.encode(errors="replace").decode()
