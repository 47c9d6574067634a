"""Find what a training starts from, and skip it if too few annotations are new since the last model."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from classifier import registry
from classifier.articles import AnnotatedArticle, Probabilities
from classifier.exceptions import ArtefactError, NoChampionError, SettingsError
from classifier.model import checkpoint, encoders, foreign_tokenizer, warm_start
from classifier.model.artefact import Artefact
from classifier.model.checkpoint import Checkpoint
from classifier.pipeline.promotion.model_files import model_in_use
from classifier.plurals import plural
from classifier.store import model_rows
from classifier.training import data_snapshot
from classifier.workspace import Workspace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StartingPoint:
    """A pretrained encoder or, if `files` are set, the model `model`.

    `tokenizers` is the folder in which the tokenizers of encoders are built. `names` are those that the model's
    categories have today.
    """

    encoder: str
    directory: Path
    tokenizers: Path
    model: str | None = None
    files: Artefact | None = None
    names: tuple[str, ...] = ()

    def checkpoint(self, categories: tuple[str, ...], *, seed: int, biases: Probabilities | None = None) -> Checkpoint:
        """Return the weights. Those of a model include its head, with rows matched to the categories by name.

        `biases` are those that new categories of a multi-label model start with. They are None for a single-label one.
        """
        if self.files is None:
            return checkpoint.read_checkpoint(self.directory)
        return warm_start.initial_checkpoint(self.files, categories, seed=seed, names=self.names, biases=biases)

    def tokenizer(self) -> Path:
        """Return the tokenizer's folder; an encoder's tokenizer is built if necessary.

        Call `checkpoint` first, which checks the encoder.

        Raises:
            EncoderError: the encoder's tokenizer cannot be built.
        """
        if self.files is not None:
            return self.directory
        return foreign_tokenizer.resolve_tokenizer(self.directory, self.tokenizers)


@dataclass(frozen=True, slots=True)
class SkippedTraining:
    """The reason why a training was skipped."""

    reason: str
    new_annotations: int
    since: str
    skipped: bool = True


def find_starting_point(workspace: Workspace, encoder_name: str | None, model_name: str | None) -> StartingPoint:
    """Return the model to start from, or the encoder. If the model is "champion" and there is none: the encoder.

    Raises:
        SettingsError: an encoder and a model other than "champion" are both named.
        ModelNotFoundError: there is no model with that name.
        ArtefactError: the model's files are not the registered ones.
        EncoderError: the encoder cannot be loaded.
    """
    if encoder_name and model_name not in {None, "champion"}:
        raise SettingsError("an encoder and a model to start from are both set; choose one of them")
    if model_name is not None:
        try:
            return _of_model(workspace, model_name)
        except NoChampionError:
            log.warning("there is no champion yet: starting from the encoder")
    name = encoder_name or workspace.settings.encoder
    directory = encoders.locate_encoder(name, cache=workspace.settings.home / "hub")
    return StartingPoint(name, directory, workspace.settings.tokenizers_directory)


def _of_model(workspace: Workspace, name: str) -> StartingPoint:
    with workspace.database.connect() as connection:
        model = registry.find(connection, name)
    with model_in_use(workspace, model):
        files = registry.open_artefact(model)
    log.info("starting from %s", model.name)
    encoder_name = str(files.manifest.get("encoder", model.name))
    tokenizers = workspace.settings.tokenizers_directory
    return StartingPoint(encoder_name, files.directory, tokenizers, model.name, files, model.present_names)


@contextmanager
def kept_starting_point(workspace: Workspace, start: StartingPoint) -> Iterator[None]:
    """Keep `prune` from deleting the model that a training starts from, whose tokenizer is copied at the end.

    Raises:
        ModelNotFoundError: the model has been pruned.
    """
    if start.model is None:
        yield
        return
    with workspace.database.connect() as connection:
        model = registry.find(connection, start.model)
    with model_in_use(workspace, model):
        yield


def skip_training(
    workspace: Workspace, parts: Iterable[Sequence[AnnotatedArticle]], minimum: int
) -> SkippedTraining | None:
    """Return why to skip the training: fewer than `minimum` articles of the parts are new. Else return None.

    New is an article that is not in the last model's snapshot, or is there with another text or category. If the
    snapshot cannot be read, all articles are new. The last model is the newest trained model that was decided on,
    promoted or not. A model that waits for its decision does not count: if its run was interrupted, the run must be
    repeated.
    """
    if minimum <= 0:
        return None
    with workspace.database.connect() as connection:
        last = model_rows.last_trained(connection)
    if last is None:
        return None
    try:
        snapshot = data_snapshot.read_snapshot(registry.open_artefact(last).directory)
    except (FileNotFoundError, ArtefactError) as error:
        log.warning(
            "%s: cannot read the snapshot of its training data (%s); training as if all annotations were new",
            last.name, error,
        )  # fmt: skip
        return None
    if (new := sum(data_snapshot.count_new(articles, snapshot) for articles in parts)) >= minimum:
        log.info("%s since %s", plural(new, "new annotation"), last.name)
        return None
    reason = f"{plural(new, 'new annotation')} since {last.name}, fewer than the minimum of {minimum}"
    log.info("not training: %s", reason)
    return SkippedTraining(reason, new, last.name)
