"""Search for better hyper-parameters than a recipe's, on the validation split alone.

Any number of workers may run the same command: they share the trials, and the same articles, encoder and recipe
are the same study, which goes on where it was. A trial whose worker was killed is tried again by another one, from
its last saved state where they share the home. The test split is never read: what was found still has to be
trained, evaluated and judged like any other model.
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
from classifier.model.checkpoint import Checkpoint
from classifier.model.tokenization import Tokenization
from classifier.pipeline.training import starting_point, training_data
from classifier.pipeline.training.starting_point import StartingPoint
from classifier.pipeline.use_case import use_case
from classifier.store import studies
from classifier.training import checkpoints, search_space, token_files, training_state
from classifier.training.recipes import Recipe, files
from classifier.training.search_space import Range
from classifier.training.training_state import TokenizedArticles
from classifier.workspace import Workspace

if TYPE_CHECKING:  # both take seconds to import: only when they are needed
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

    from classifier.training.fit import Progress

log = logging.getLogger(__name__)

BEAT_S, GRACE_S = 30, 120
"""Between two signs of life of a worker, and after how long without one its trial is another's."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search has come to: macro-F1 on the validation split, of the best trial and of the recipe itself.

    `own_macro_f1` is None where the recipe's own trial was not finished.
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
class _Task:
    """What every trial is given."""

    workspace: Workspace
    recipe: Recipe
    ranges: dict[str, Range]
    pretrained: Checkpoint
    categories: tuple[str, ...]
    train: TokenizedArticles
    validation: TokenizedArticles

    def key(self, recipe: Recipe) -> str:
        """Return the name of what is trained with a recipe."""
        from classifier.model.keras.backend import backend
        from classifier.training.fit import precision_of

        arithmetic = f"{backend()} {precision_of(recipe)}"
        data = self.train, self.validation
        return training_state.key(self.pretrained, *data, recipe, categories=self.categories, precision=arithmetic)


@use_case
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
    """Take part in the study until it has so many trials, and write its best values as a recipe.

    Without `out`, the file is `HOME/recipes/STUDY.toml`. Where several workers begin at the same moment, there may
    be a trial more for each of them. `on_start` is told how many trials are wanted, `on_trial` how many are done.

    Raises:
        SettingsError: no trials are wanted, or the file cannot be written.
        DatabaseUnavailableError: the database went away; the same command goes on.
        TrainingDataError: there are no annotated articles, or they are all of one category.
        EncoderError: the encoder cannot be loaded.
    """
    if trials < 1:
        raise SettingsError(f"trials {trials}: has to be at least 1")
    if out:
        _check_place(out)
    with _task(workspace, recipe, encoder_name, start_from) as (task, described):
        return _search(workspace, task, described, trials, out, on_start, on_trial)


def _search(
    workspace: Workspace,
    task: _Task,
    described: dict[str, Any],
    trials: int,
    out: Path | None,
    on_start: Callable[[int], None],
    on_trial: Callable[[int], None],
) -> Tuned:
    recipe = task.recipe
    name = f"{Path(recipe.name).stem}-{task.key(replace(recipe, name=''))[:12]}"  # wherever its file is
    target = out or workspace.settings.recipes_directory / f"{name}.toml"
    first = search_space.own_values(recipe, task.ranges)
    with studies.translated(workspace.database):
        study = studies.open_study(
            workspace.database, name, first=first, described=described, beat_s=BEAT_S, grace_s=GRACE_S
        )
        on_start(trials)
        _take_part(study, task, trials, on_trial)
        return _tuned(study, task, target)


def _check_place(out: Path) -> None:
    """Refuse a file that cannot be written before the hours of a search."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{out}: cannot be written ({error.strerror}); name another file with --out") from error
    if out.is_dir() or not os.access(out.parent, os.W_OK):
        raise SettingsError(f"{out}: is a folder, or in one that is not writable; name another file with --out")


@contextmanager
def _task(
    workspace: Workspace, recipe: Recipe, encoder_name: str | None, start_from: str | None
) -> Iterator[tuple[_Task, dict[str, Any]]]:
    """Read what every trial is given, and say it in a few words."""
    start = starting_point.find_starting_point(workspace, encoder_name, start_from)
    with starting_point.kept_starting_point(workspace, start), _task_from(workspace, recipe, start) as task:
        yield task


@contextmanager
def _task_from(workspace: Workspace, recipe: Recipe, start: StartingPoint) -> Iterator[tuple[_Task, dict[str, Any]]]:
    train, validation = training_data.read_training_data(workspace)
    categories = tuple(sorted({*train.categories}))
    pretrained = start.checkpoint(categories, seed=recipe.seed)
    longest = min(recipe.max_length, pretrained.shape.max_position_embeddings)
    tokenization = Tokenization.read(start.tokenizer(), longest, recipe.chunking)
    ranges = search_space.space(recipe, layers=pretrained.shape.n_layers, has_mask=tokenization.mask_id is not None)
    described = {
        "recipe": asdict(recipe),
        "encoder": start.encoder,
        "from": start.model,
        "articles": len(train),
        "validation_articles": len(validation),
    }
    root, parts = workspace.settings.checkpoints_directory, {"train": train, "validation": validation}
    with token_files.opened(root, tokenization, parts, categories) as tokens:
        yield _Task(workspace, recipe, ranges, pretrained, categories, tokens.train, tokens.validation), described


def _take_part(study: Study, task: _Task, trials: int, on_trial: Callable[[int], None]) -> None:
    """Run trials until so many are done; wait for those of others, in case their workers die."""
    shown = 0
    while True:
        studies.give_up_silent(study, GRACE_S)
        done, running = studies.count(study, "COMPLETE", "PRUNED"), studies.count(study, "RUNNING")
        on_trial(min(done, trials) - shown)
        shown = min(done, trials)
        if done >= trials:
            return
        if done + running >= trials:
            time.sleep(BEAT_S / 2)
            continue
        studies.run_one(study, lambda trial: _objective(trial, task), _tell)


def _objective(trial: Trial, task: _Task) -> float:
    """Train with the trial's values, and return the best epoch's macro-F1 on the validation split."""
    import optuna

    from classifier.model.keras import network
    from classifier.training import fit

    recipe = search_space.tried(task.recipe, {name: one.suggest(trial, name) for name, one in task.ranges.items()})
    settings = task.workspace.settings
    log.info("trial %d: %s", trial.number, trial.params)

    def watch(now: Progress) -> None:
        if now.ended:
            trial.report(now.ended.macro_f1, now.ended.epoch)
            if trial.should_prune():
                raise optuna.TrialPruned

    minutes, steps = settings.checkpoint_minutes, settings.checkpoint_steps
    directory = settings.checkpoints_directory
    # a worker that was given up, but lives, holds the lock until its next report is refused, and leaves its states
    with checkpoints.opened(directory, task.key(recipe), every_s=60 * minutes, every_steps=steps, wait=True) as saved:
        try:
            fitted = fit.fit_classifier(
                task.pretrained, task.train, task.validation, recipe, categories=len(task.categories),
                checkpoints=saved, on_progress=watch,
            )  # fmt: skip
        except optuna.TrialPruned:
            saved.discard()
            raise
        finally:
            network.clear_session()
        saved.discard()
    return fitted.history[fitted.best_epoch - 1].macro_f1


def _tell(study: Study, trial: FrozenTrial) -> None:
    if trial.state.name == "PRUNED":
        log.info("trial %d: pruned after epoch %s", trial.number, trial.last_step)
    elif trial.value is not None:
        log.info("trial %d: macro-F1 %.4f, the best so far is %.4f", trial.number, trial.value, study.best_value)


def _tuned(study: Study, task: _Task, target: Path) -> Tuned:
    """Write the best trial's recipe."""
    best = study.best_trial
    score = float(best.value or 0.0)
    found = search_space.tried(task.recipe, best.params)
    name = task.recipe.name
    description = f"{name}, tuned: validation macro-F1 {score:.4f} in trial {best.number} of study {study.study_name}"
    files.write_recipe(target, found, description, search_space.reasons(found, task.ranges, name))
    return Tuned(
        study=study.study_name,
        recipe_file=str(target),
        validation_macro_f1=score,
        own_macro_f1=_own_score(study, task),
        best_trial=best.number,
        trials=studies.count(study, "COMPLETE", "PRUNED"),
        pruned=studies.count(study, "PRUNED"),
        failed=studies.count(study, "FAIL"),
        values=search_space.own_values(found, task.ranges),
    )


def _own_score(study: Study, task: _Task) -> float | None:
    own = search_space.own_values(task.recipe, task.ranges)
    scores = (trial.value for trial in study.get_trials(deepcopy=False) if trial.params == own)
    return next((score for score in scores if score is not None), None)
