"""Search for better hyper-parameters than a recipe's, judged by the validation split alone.

Any number of workers may run the same command and share the trials. The same articles, encoder and recipe are the same
study, which the command resumes. If a worker is killed, another worker runs its trial again, from the last saved state
if they share the home. The test split is not read: a recipe that was found must be trained, evaluated and promoted like
any other.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier.exceptions import SettingsError
from classifier.pipeline.erasure.article_copies import copies_articles
from classifier.pipeline.training import preparation, starting_point, training_data
from classifier.pipeline.training.preparation import PreparedTraining
from classifier.pipeline.use_case import use_case
from classifier.store import studies
from classifier.training import checkpoints, search_space, token_files
from classifier.training.recipes import Recipe, files
from classifier.training.search_space import SearchRange
from classifier.training.training_state import TokenizedArticles
from classifier.workspace import Workspace

if TYPE_CHECKING:  # both take seconds to import: only when they are needed
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

    from classifier.training.fit import FittedModel, TrainingProgress

log = logging.getLogger(__name__)

HEARTBEAT_S = 30
"""Seconds between two heartbeats of a worker."""

TIMEOUT_S = 120
"""Seconds without a heartbeat after which another worker may run a worker's trial."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """The result of a search: macro-F1 on the validation split, of the best trial and of the recipe itself.

    `own_macro_f1` is None if the trial of the recipe's own values has not ended.
    """

    study: str
    recipe_file: str
    validation_macro_f1: float
    own_macro_f1: float | None
    best_trial: int
    trials: int
    pruned: int
    failed: int
    values: dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Search:
    """What all trials of a search share."""

    workspace: Workspace
    prepared: PreparedTraining
    ranges: dict[str, SearchRange]
    train: TokenizedArticles
    validation: TokenizedArticles

    @property
    def recipe(self) -> Recipe:
        """The recipe to improve."""
        return self.prepared.recipe

    @property
    def study_name(self) -> str:
        """The study's name: the recipe's, wherever its file is, and the key of everything else."""
        key = self.prepared.key(self.train, self.validation, replace(self.recipe, name=""))
        return f"{Path(self.recipe.name).stem}-{key[:12]}"

    def description(self) -> dict[str, Any]:
        """Return what the study stores about itself."""
        return {
            "recipe": asdict(self.recipe),
            "encoder": self.prepared.start.encoder,
            "from": self.prepared.start.model,
            "articles": len(self.prepared.train),
            "validation_articles": len(self.prepared.validation),
        }


@use_case
@copies_articles
def tune(
    workspace: Workspace,
    recipe: Recipe,
    *,
    trials: int,
    encoder_name: str | None = None,
    start_from: str | None = None,
    out: Path | None = None,
    on_start: Callable[[int], None] = lambda _: None,
    on_trial: Callable[[int], None] = lambda _: None,
) -> Tuned:
    """Run trials of the study until it has `trials` of them, and write the best values as a recipe.

    By default the file is `HOME/recipes/STUDY.toml`. If several workers start at the same moment, each may add one
    trial. `on_start` receives the number of trials to run, `on_trial` the number of newly ended trials.

    Raises:
        SettingsError: `trials` is below 1, or the file cannot be written.
        DatabaseUnavailableError: the connection to the database was lost; the same command resumes.
        TrainingDataError: there are no annotated articles, or they are all of one category.
        EncoderError: the encoder cannot be loaded.
    """
    if trials < 1:
        raise SettingsError(f"trials {trials}: must be at least 1")
    if out:
        _check_writable(out)
    with _open_search(workspace, recipe, encoder_name, start_from) as search:
        name = search.study_name
        first = search_space.values_of(recipe, search.ranges)
        with studies.translate_errors(workspace.database):
            study = studies.open_study(
                workspace.database,
                name,
                first=first,
                attributes=search.description(),
                heartbeat_s=HEARTBEAT_S,
                grace_s=TIMEOUT_S,
            )
            on_start(trials)
            _run_trials(study, search, trials, on_trial)
            return _write_best(study, search, out or workspace.settings.recipes_directory / f"{name}.toml")


def _check_writable(out: Path) -> None:
    """Raise a `SettingsError` if the file cannot be written: now, and not after hours of a search."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{out}: cannot write ({error.strerror}); name another file with --out") from error
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise SettingsError(f"{out}: is a folder, or in a folder that is not writable; name another file with --out")


@contextmanager
def _open_search(
    workspace: Workspace, recipe: Recipe, encoder_name: str | None, start_from: str | None
) -> Iterator[_Search]:
    """Prepare and tokenize what all trials share, and yield it."""
    start = starting_point.find_starting_point(workspace, encoder_name, start_from)
    with starting_point.kept_starting_point(workspace, start):
        kind = workspace.task.kind
        train, validation = training_data.read_training_data(workspace, kind)
        prepared = preparation.prepare(start, recipe, train, validation, kind=kind)
        layers, has_mask = prepared.pretrained.shape.n_layers, prepared.tokenization.mask_id is not None
        ranges = search_space.search_ranges(recipe, layers=layers, has_mask=has_mask)
        root = workspace.settings.checkpoints_directory
        with token_files.open_token_files(
            root, prepared.tokenization, prepared.parts, prepared.categories, kind
        ) as tokens:
            yield _Search(workspace, prepared, ranges, tokens.train, tokens.validation)


def _run_trials(study: Study, search: _Search, trials: int, on_trial: Callable[[int], None]) -> None:
    """Run trials until `trials` have ended; wait for the trials of other workers, in case one of them dies."""
    reported = 0
    while True:
        studies.fail_stale_trials(study, TIMEOUT_S)
        ended, running = studies.count_trials(study, "COMPLETE", "PRUNED"), studies.count_trials(study, "RUNNING")
        on_trial(min(ended, trials) - reported)
        reported = min(ended, trials)
        if ended >= trials:
            return
        if ended + running >= trials:
            time.sleep(HEARTBEAT_S / 2)
            continue
        studies.run_trial(study, lambda trial: _run_trial(trial, search), _log_trial)


def _run_trial(trial: Trial, search: _Search) -> float:
    """Train with the trial's values, and return the best epoch's macro-F1 on the validation split."""
    values = {name: searched.suggest(trial, name) for name, searched in search.ranges.items()}
    recipe = search_space.trial_recipe(search.recipe, values)
    log.info("trial %d: %s", trial.number, trial.params)
    fitted = _fit_trial(trial, search, recipe)
    return fitted.history[fitted.best_epoch - 1].macro_f1


def _fit_trial(trial: Trial, search: _Search, recipe: Recipe) -> FittedModel:
    import optuna

    from classifier.model.keras import network
    from classifier.training import fit

    def report(progress: TrainingProgress) -> None:
        if progress.ended:
            trial.report(progress.ended.macro_f1, progress.ended.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

    settings = search.workspace.settings
    key = search.prepared.key(search.train, search.validation, recipe)
    every_s, every_steps = 60 * settings.checkpoint_minutes, settings.checkpoint_steps
    # if a worker was given up but is alive, it holds the lock until its next report is refused, and leaves its states
    with checkpoints.open_checkpoints(
        settings.checkpoints_directory, key, every_s=every_s, every_steps=every_steps, wait=True
    ) as saved:
        try:
            fitted = fit.fit_classifier(
                search.prepared.pretrained, search.train, search.validation, recipe,
                categories=len(search.prepared.categories), checkpoints=saved, on_progress=report,
            )  # fmt: skip
        except optuna.TrialPruned:
            saved.discard()
            raise
        finally:
            network.clear_session()
        saved.discard()
    return fitted


def _log_trial(study: Study, trial: FrozenTrial) -> None:
    if trial.state.name == "PRUNED":
        log.info("trial %d: pruned after epoch %s", trial.number, trial.last_step)
    elif trial.value is not None:
        log.info("trial %d: macro-F1 %.4f, the best so far is %.4f", trial.number, trial.value, study.best_value)


def _write_best(study: Study, search: _Search, target: Path) -> Tuned:
    """Write the best trial's recipe, and return the result of the search."""
    best = study.best_trial
    score = float(best.value or 0.0)
    recipe = search_space.trial_recipe(search.recipe, best.params)
    name = search.recipe.name
    description = f"{name}, tuned: validation macro-F1 {score:.4f} in trial {best.number} of study {study.study_name}"
    files.write_recipe(target, recipe, description, search_space.reasons(search.ranges, name))
    return Tuned(
        study=study.study_name,
        recipe_file=str(target),
        validation_macro_f1=score,
        own_macro_f1=_own_macro_f1(study, search),
        best_trial=best.number,
        trials=studies.count_trials(study, "COMPLETE", "PRUNED"),
        pruned=studies.count_trials(study, "PRUNED"),
        failed=studies.count_trials(study, "FAIL"),
        values=search_space.values_of(recipe, search.ranges),
    )


def _own_macro_f1(study: Study, search: _Search) -> float | None:
    own = search_space.values_of(search.recipe, search.ranges)
    scores = (trial.value for trial in study.get_trials(deepcopy=False) if trial.params == own)
    return next((score for score in scores if score is not None), None)
