"""The answers of a single-label model that backs off: where no category is sure enough, one of its parents may be.

A parent's probability is the sum of those of the categories below it, and its own if the model has it. The answer is
found by climbing: from the most probable category towards the top, until a probability reaches the threshold (Goren et
al., "Hierarchical Selective Classification", NeurIPS 2024).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classifier.articles import Probabilities
from classifier.model.decisions import merge_probabilities
from classifier.taxonomy import ancestors


@dataclass(frozen=True, slots=True)
class CategoryPaths:
    """Of each article the most probable category and its ancestors, with their probabilities.

    Attributes:
        names: The category, its parent, and so on, as Python strings, shape (articles, levels). A path that is shorter
            than others repeats its last name.
        probabilities: Their probabilities, which never decrease along a path, shape (articles, levels).
        parents: The parent of each category that has one.
    """

    names: NDArray[np.object_]
    probabilities: Probabilities
    parents: Mapping[str, str]

    def answer(self, threshold: float) -> tuple[list[str], NDArray[np.float32]]:
        """Return the label of each article and its probability; the category itself if nothing is sure enough."""
        reached = self.probabilities >= np.float32(threshold)
        rows, levels = np.arange(len(reached)), reached.argmax(axis=1)
        return self.names[rows, levels].tolist(), self.probabilities[rows, levels]

    def correct(self, truth: Sequence[str]) -> NDArray[np.bool_]:
        """Return whether each name is the article's category or an ancestor of it, shape (articles, levels)."""
        accepted = {name: {name, *ancestors(name, self.parents)} for name in set(truth)}
        rows = [[name in accepted[category] for name in path] for path, category in zip(self.names, truth, strict=True)]
        return np.array(rows, dtype=np.bool_).reshape(self.names.shape)


def find_paths(probabilities: Probabilities, names: tuple[str, ...], parents: Mapping[str, str]) -> CategoryPaths:
    """Return the paths of articles with these probabilities, shape (articles, categories), of categories' names.

    Columns of the same name count together.
    """
    merged = merge_probabilities(probabilities, names, "single")
    categories = tuple(dict.fromkeys(names))
    above = [ancestors(name, parents) for name in categories]
    nodes = tuple(dict.fromkeys(node for path in above for node in path))
    sums = np.zeros((len(probabilities), len(nodes)), dtype=np.float32)
    # in this order, so that the sums have the bits of those in SQL
    for name, column in zip(names, probabilities.T, strict=True):
        for node in {name, *ancestors(name, parents)}.intersection(nodes):
            sums[:, nodes.index(node)] += column
    best = merged.argmax(axis=1)
    rows = np.arange(len(merged))
    labels, outputs = [np.array(categories, dtype=object)[best]], [merged[rows, best]]
    for level in range(max(map(len, above), default=0)):
        column = np.array([nodes.index(path[level]) if level < len(path) else -1 for path in above])[best]
        labels.append(np.where(column < 0, labels[-1], np.array(nodes, dtype=object)[column]))
        outputs.append(np.where(column < 0, outputs[-1], sums[rows, column]))
    return CategoryPaths(np.stack(labels, axis=1), np.stack(outputs, axis=1), parents)
