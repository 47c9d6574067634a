"""Explain the label of a stored article for the page in Airflow's UI. Nothing is stored."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from classifier import registry
from classifier.articles import Model, model_input
from classifier.exceptions import ArticleNotFoundError, ExplanationError, ReviewError, StatementTimeoutError
from classifier.model import checkpoint, hardware
from classifier.pipeline.labelling import classification, explanation
from classifier.pipeline.labelling.classification import TextClassifier
from classifier.pipeline.review import article_details, nearest_articles
from classifier.pipeline.review.nearest_articles import NearestArticles
from classifier.pipeline.use_case import use_case
from classifier.store import reviews
from classifier.workspace import Workspace

log = logging.getLogger(__name__)

PAGE_RUNS = 128
"""Most masked copies of a text that are computed while a user waits."""

PAGE_SECONDS = 20.0
"""About how long that may take; a slow machine computes fewer."""

_MEMORY_FACTOR, _MEMORY_BASE = 3.0, 300 * 2**20
"""Memory that loading a model takes: times the size of its weights, and for libraries."""


@dataclass(frozen=True, slots=True)
class ArticleRequest:
    """The article of a task whose label is to be explained, as a reader has read it; by default, its own label."""

    task: int | None
    article: int
    revision: int
    category: str | None = None
    reader: str = ""


class Explainer:
    """A champion that is loaded at the first request, kept, and replaced when another model is champion."""

    def __init__(self) -> None:
        self._manifest_sha256 = ""
        self._opened: TextClassifier | None = None

    def explain(self, workspace: Workspace, request: ArticleRequest) -> dict[str, Any]:
        """Return the explanation and the nearest annotated articles as values of JSON.

        `offset` is the position of the article's text in the text that the model reads, after the title. `nearest` is
        None if the database does not find them in time: the explanation has taken the user's time already.

        Raises:
            ReviewError: the text has changed, or the label must not be shown yet.
            ArticleNotFoundError: there is no such article.
            NoChampionError: nothing has been promoted yet.
            CategoryError: the model does not have the category.
            ExplanationError: the model would not fit into memory.
        """
        model, text, title = _load(workspace.with_task(request.task), request)
        opened = self._open(workspace, model)
        read = model_input(text, title, read_title=opened.labeller.read_title)
        explained = explanation.explain_text(
            opened, read, request.category, max_runs=PAGE_RUNS, max_seconds=PAGE_SECONDS
        )
        nearest = _find_nearest(workspace.with_task(request.task), request, read, explained.alternatives)
        return {**asdict(explained), "offset": len(read) - len(text), "nearest": nearest and asdict(nearest)}

    def _open(self, workspace: Workspace, model: Model) -> TextClassifier:
        if self._opened is None or self._manifest_sha256 != model.manifest_sha256:
            self._opened = None  # its memory is free before the next model is loaded
            files = registry.open_artefact(model)
            size = (files.directory / checkpoint.WEIGHTS_FILE).stat().st_size
            _require_memory(int(_MEMORY_FACTOR * size) + _MEMORY_BASE)
            self._opened = classification.open_model(model, files, engine="openvino", home=workspace.settings.home)
            self._manifest_sha256 = model.manifest_sha256
        return classification.with_row(self._opened, model)


def _find_nearest(
    workspace: Workspace, request: ArticleRequest, read: str, categories: Sequence[str]
) -> NearestArticles | None:
    try:
        return nearest_articles.find_nearest(
            workspace, read, categories, article_id=request.article, reader=request.reader
        )
    except StatementTimeoutError as error:
        log.warning("cannot find similar annotated articles: %s", error)
        return None


@use_case
def _load(workspace: Workspace, request: ArticleRequest) -> tuple[Model, str, str | None]:
    """Return the champion, and the text and title of the article."""
    with workspace.database.connect() as connection:
        row = reviews.articles_by_id(connection, [request.article]).get(request.article)
        if row is None:
            raise ArticleNotFoundError(f"article {request.article}: not found; it may have been erased")
        if row.revision != request.revision:
            raise ReviewError(f"the text of article {request.article} has changed; reload the page")
        blindness = article_details.find_blindness(connection, workspace.settings, request.article, request.reader)
        if blindness.to_model:
            raise ReviewError(
                f"article {request.article} waits for an independent annotation; annotate it first, then its label is "
                "explained"
            )
        return registry.champion(connection), row.text, row.title


def _require_memory(needed: int) -> None:
    available = hardware.available_memory()
    if available is not None and available < needed:
        raise ExplanationError(
            f"loading the model takes about {needed / 2**20:,.0f} MiB, and {available / 2**20:,.0f} MiB are available; "
            "give the API server more memory, or run: classifier explain"
        )
