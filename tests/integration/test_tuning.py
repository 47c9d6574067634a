"""A search is shared by workers, survives them, never reads the test split, and ends with a recipe that trains."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from classifier.exceptions import DatabaseNotMigratedError, DatabaseUnavailableError, SettingsError
from classifier.pipeline.database import upgrade
from classifier.pipeline.training import candidate, tuning
from classifier.settings import Settings
from classifier.store import connections, studies
from classifier.training import fit, folder_lock, search_space
from classifier.training.recipes import Recipe, files
from classifier.workspace import Workspace
from tests.support.synthetic import COLUMNS, articles, ingest_file, query, run, value
from tests.support.tiny_models import make_encoder
from tests.support.waiting import HANG_S, wait_for

RECIPE = Recipe(epochs=2, batch_size=8, learning_rate=0.01, max_length=16, dtype="float32")
WORKER = (
    "import sys; from classifier.pipeline.training import tuning; tuning.HEARTBEAT_S, tuning.TIMEOUT_S = 1, 20; "
    "from classifier.cli.app import main; sys.argv = ['classifier', *sys.argv[1:]]; main()"
)
STATES = "SELECT state::text, count(*) FROM optuna.trials GROUP BY 1"


@pytest.fixture
def encoder(workspace, tmp_path):
    rows = [
        {**row, "split": ("train", "train", "validation", "test")[n // 3 % 4]} for n, row in enumerate(articles(90))
    ]
    ingest_file(workspace, tmp_path / "known.csv", rows, replace(COLUMNS, split="split"))
    return str(make_encoder(tmp_path / "encoder"))


@pytest.mark.long
@pytest.mark.slow
def test_two_workers_share_a_study_one_is_killed_and_the_best_recipe_trains(workspace, encoder, tmp_path):
    """The workers share the home, so the killed trial also resumes from its saved state."""
    path = tmp_path / "recipe.toml"
    files.write_recipe(path, RECIPE, "tiny", dict.fromkeys(RECIPE.__dataclass_fields__, "of the test"))
    environment = {
        **os.environ,
        "CLASSIFIER_DATABASE_URL": workspace.database.url.render_as_string(hide_password=False),
        "CLASSIFIER_HOME": str(tmp_path / "home"),
        "CLASSIFIER_CHECKPOINT_STEPS": "1",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    command = [sys.executable, "-c", WORKER, "tune", "--trials", "4", "--recipe", str(path), "--encoder", encoder,
               "--out", str(tmp_path / "best.toml"), "--json"]  # fmt: skip

    def start():
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    first = start()
    wait_for(lambda: list(tmp_path.glob("home/checkpoints/*/step-*")) or first.poll() is not None)
    first.send_signal(signal.SIGKILL)
    stderr = first.communicate()[1]
    assert first.returncode == -signal.SIGKILL, stderr
    assert dict(query(workspace.database, STATES)) == {"RUNNING": 1}
    (left,) = {path.parent for path in tmp_path.glob("home/checkpoints/*/step-*")}

    others = [start(), start()]
    outputs = [other.communicate(timeout=HANG_S) for other in others]
    assert [other.returncode for other in others] == [0, 0], outputs
    reports = [tuning.Tuned(**json.loads(out)) for out, _ in outputs]
    assert reports[0].study == reports[1].study
    states = dict(query(workspace.database, STATES))
    assert states["FAIL"] == 1
    assert states["COMPLETE"] + states.get("PRUNED", 0) in {4, 5}, (
        "both may have started their last trial at the same time"
    )
    assert states.keys() <= {"FAIL", "COMPLETE", "PRUNED"}
    assert not left.exists(), "the killed trial was run again, with the same values"
    assert reports[0].own_macro_f1 is not None
    assert value(workspace.database, "SELECT count(*) FROM public.alembic_version") == 1, (
        "the project's table, not Optuna's"
    )

    best = files.load_recipe(str(tmp_path / "best.toml"))
    env = Workspace(workspace.database, Settings(home=tmp_path / "home", _env_file=None))
    trained = candidate.train(env, best, encoder_name=encoder)
    assert trained.validation_macro_f1 == max(report.validation_macro_f1 for report in reports)


@pytest.fixture
def tuned(workspace, encoder, tmp_path, monkeypatch):
    """Return a function that searches with synthetic trainings: the nearer the recipe's learning rate, the better."""
    seen, directories = [], []

    def synthetic_fit(checkpoint, train, validation, recipe, *, categories, checkpoints, on_progress):
        seen.append((len(train.targets), len(validation.targets), recipe))
        directories.append(checkpoints.directory)
        (checkpoints.directory / "something").touch()
        lost = abs(np.log(recipe.learning_rate / RECIPE.learning_rate)) / 2
        scores = [round(float(0.8 - lost + epoch / 100), 5) for epoch in range(recipe.epochs)]
        history = tuple(fit.EpochResult(epoch, 0.5, score, score, 1.0) for epoch, score in enumerate(scores, start=1))
        for epoch in history:
            on_progress(fit.TrainingProgress(epoch.epoch, recipe.epochs, epoch.epoch, 0.5, epoch.macro_f1, 1, 1, epoch))
        return fit.FittedModel({}, history, len(history), "float32", 1.0)

    monkeypatch.setattr(fit, "fit_classifier", synthetic_fit)

    def search(trials, **options):
        return tuning.tune(workspace, replace(RECIPE, epochs=6), trials=trials, encoder_name=encoder, **options)

    search.seen, search.directories = seen, directories
    return search


def test_bad_trials_are_pruned_and_the_recipes_own_values_come_first(workspace, tuned):
    reported = []
    result = tuned(15, on_trial=reported.append)
    assert (result.trials, sum(reported)) == (15, 15)
    assert result.own_macro_f1 == 0.85 <= result.validation_macro_f1
    assert result.pruned > 0
    scores = "SELECT max(value) FROM optuna.trial_values JOIN optuna.trials USING (trial_id) WHERE state = 'COMPLETE'"
    assert result.validation_macro_f1 == value(workspace.database, scores)
    assert list(workspace.settings.checkpoints_directory.iterdir()) == [], "every trial deletes its states"


def test_the_test_split_is_not_read(workspace, tuned):
    tuned(2)
    split = "SELECT count(*) FROM articles WHERE split = '{}'"
    sizes = tuple(value(workspace.database, split.format(name)) for name in ("train", "validation"))
    assert {call[:2] for call in tuned.seen} == {sizes}


def test_the_same_command_resumes_and_other_articles_are_another_study(workspace, tuned, tmp_path):
    first = tuned(2)
    assert tuned(2) == first
    assert len(tuned.seen) == 2
    assert tuned(3).study == first.study
    assert len(tuned.seen) == 3
    ingest_file(workspace, tmp_path / "more.csv", articles(12, prefix="more", seed=5))
    assert tuned(1).study != first.study


def test_the_file_has_a_reason_for_each_value_and_reads_back(tuned, tmp_path):
    result = tuned(1, out=tmp_path / "deep" / "best.toml")
    text = Path(result.recipe_file).read_text()
    assert files.load_recipe(result.recipe_file) == replace(RECIPE, epochs=6, name=result.recipe_file)
    assert "learning_rate = 0.01" in text
    assert "# searched from 0.0025 to 0.04: " in text
    assert "# as in default" in text


def test_a_search_without_trials_or_with_an_unwritable_file_is_refused(tuned, tmp_path):
    with pytest.raises(SettingsError, match="trials 0: must be at least 1"):
        tuned(0)
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"best\.toml: cannot write"):
        tuned(1, out=tmp_path / "file" / "best.toml")


@pytest.mark.parametrize(
    "recipe", [Recipe(), Recipe(epochs=1, frozen_layers=6, layer_decay=0.5, label_smoothing=0.3, masking=0.5)]
)
def test_a_recipes_own_values_are_within_the_ranges(recipe):
    ranges = search_space.search_ranges(recipe, layers=6, has_mask=True)
    for name, own in search_space.values_of(recipe, ranges).items():
        assert ranges[name].low <= own <= ranges[name].high, name
    edges = [{name: getattr(searched, end) for name, searched in ranges.items()} for end in ("low", "high")]
    assert all(search_space.trial_recipe(recipe, values).epochs >= 1 for values in edges), "both ends are valid recipes"
    assert np.isclose(
        search_space.trial_recipe(recipe, {"learning_rate": 0.000123456}).learning_rate, 0.0001235, rtol=0, atol=0
    )


def test_masking_is_searched_only_if_the_vocabulary_has_a_mask():
    with_mask, without = (
        search_space.search_ranges(Recipe(), layers=6, has_mask=has_mask).keys() for has_mask in (True, False)
    )
    assert with_mask - without == {"masking"}


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")
def test_a_trial_without_a_first_heartbeat_is_given_up_and_a_running_one_is_not(workspace):
    study = studies.open_study(
        workspace.database, "s", first={}, attributes={"of": "the test"}, heartbeat_s=1, grace_s=60
    )
    study.ask()
    alive = study.ask()
    alive.set_user_attr("started", alive.number)
    studies.fail_stale_trials(study, 60)
    assert studies.count_trials(study, "RUNNING") == 2
    studies.fail_stale_trials(study, 0)
    assert (studies.count_trials(study, "FAIL"), studies.count_trials(study, "RUNNING")) == (1, 1)


def test_a_trial_that_another_worker_took_over_does_not_end_its_first_worker(workspace, caplog):
    from optuna.trial import TrialState

    study = studies.open_study(workspace.database, "s", first={}, attributes={}, heartbeat_s=1, grace_s=60)

    def taken_over(trial):
        study.tell(trial.number, state=TrialState.FAIL)
        return 0.5

    studies.run_trial(study, taken_over, lambda *_: None)
    assert "trial 0 was taken over by another worker" in caplog.text

    def broken(_):
        raise ValueError("a bug")

    with pytest.raises(ValueError, match="a bug"):
        studies.run_trial(study, broken, lambda *_: None)


def test_a_repeated_trial_waits_while_its_first_worker_still_trains(workspace, tuned, caplog):
    """A worker that was given up without a heartbeat may be alive while another worker repeats its trial."""
    first = tuned(1)
    (directory,) = tuned.directories
    study = studies.open_study(workspace.database, first.study, first={}, attributes={}, heartbeat_s=1, grace_s=60)
    study.enqueue_trial(study.best_params)
    with ThreadPoolExecutor(1) as pool:
        with folder_lock.hold_folder(directory):
            second = pool.submit(tuned, 2)
            wait_for(lambda: "waiting for it to end" in caplog.text or second.done())
            assert (len(tuned.seen), second.done()) == (1, False)
        assert second.result(timeout=HANG_S).trials == 2
    assert tuned.directories == [directory, directory]
    assert studies.count_trials(study, "COMPLETE") == 2


def test_a_lost_connection_to_the_database_is_one_line(workspace):
    from optuna.exceptions import StorageInternalError

    line = r"cannot read or write the study \(no route\); run the same command again to resume it"
    with pytest.raises(DatabaseUnavailableError, match=line), studies.translate_errors(workspace.database):
        raise StorageInternalError("gone") from OSError("no route")


def test_missing_or_old_tables_of_the_search_are_reported_with_what_to_do(workspace):
    options = {"first": {}, "attributes": {}, "heartbeat_s": 1, "grace_s": 60}
    run(workspace.database, "UPDATE optuna.alembic_version SET version_num = 'v3.0.0.a'")
    with pytest.raises(DatabaseNotMigratedError, match="the version of another Optuna; run: classifier db upgrade"):
        studies.open_study(workspace.database, "s", **options)
    run(workspace.database, "UPDATE optuna.alembic_version SET version_num = 'v99'")
    with pytest.raises(DatabaseNotMigratedError, match="v99, which is newer than Optuna"):
        upgrade.upgrade_schema(workspace)
    run(workspace.database, "DROP SCHEMA optuna CASCADE")
    with pytest.raises(DatabaseNotMigratedError, match="are missing; run: classifier db upgrade"):
        studies.open_study(workspace.database, "s", **options)
    upgrade.upgrade_schema(workspace)
    assert studies.open_study(workspace.database, "s", **options).study_name == "s"


def test_a_search_keeps_the_session_options_of_the_database_url(database_url):
    own = {"options": "-c work_mem=8MB -c timezone=CET", "application_name": "newsroom"}
    url = database_url.update_query_dict(own).render_as_string(hide_password=False)
    database = connections.connect(url)
    studies.open_study(database, "s", first={}, attributes={}, heartbeat_s=1, grace_s=60)
    storage = studies._storage(database)
    with storage.engine.connect() as opened, database.connect() as ours:
        shown = [opened.exec_driver_sql(f"SHOW {name}").scalar_one() for name in ("work_mem", "application_name")]
        assert shown == ["8MB", "newsroom"]
        assert opened.exec_driver_sql("SHOW timezone").scalar_one() == "UTC"
        assert ours.exec_driver_sql("SHOW work_mem").scalar_one() == "8MB"
        assert ours.exec_driver_sql("SHOW timezone").scalar_one() == "UTC"
    storage.engine.dispose()
    database.dispose()
