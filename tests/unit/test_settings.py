"""Settings come from the environment or `.env`, and an invalid one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifier import settings
from classifier.exceptions import SettingsError


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_the_defaults_apply_without_variables(tmp_path):
    loaded = settings.load()
    assert loaded.database_url is None
    assert loaded.models_directory == tmp_path / "var" / "models"
    assert loaded.postgres_directory == tmp_path / "var" / "postgres"


def test_a_variable_overrides_the_file(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("CLASSIFIER_ENCODER=from-file\nCLASSIFIER_SPLIT_KEY=from-file\nOTHER=ignored\n")
    monkeypatch.setenv("CLASSIFIER_ENCODER", "from-variable")
    loaded = settings.load()
    assert (loaded.encoder, loaded.split_key) == ("from-variable", "from-file")


def test_the_directory_of_models_can_be_set_separately(monkeypatch, tmp_path):
    monkeypatch.setenv("CLASSIFIER_MODELS", "~/models")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert settings.load().models_directory == tmp_path / "models"


@pytest.mark.parametrize("value", ["long", "0", "-1"])
def test_an_invalid_value_is_named_with_its_variable(monkeypatch, value):
    monkeypatch.setenv("CLASSIFIER_STATEMENT_TIMEOUT_S", value)
    with pytest.raises(SettingsError, match=r"^CLASSIFIER_STATEMENT_TIMEOUT_S: Input should be"):
        settings.load()


def test_settings_are_frozen():
    with pytest.raises(ValueError, match="frozen"):
        settings.load().home = Path("elsewhere")


def test_a_misspelt_variable_is_named_with_the_nearest_setting(monkeypatch, tmp_path):
    monkeypatch.setenv("CLASSIFIER_DATABSE_URL", "x")
    monkeypatch.setenv("classifier_encoder", "case does not matter")
    (tmp_path / ".env").write_text("CLASSIFIER_HOMME=x\nCLASSIFIER_QQQ=x\nOTHER=x\n")
    assert settings.unknown_variables() == [
        ("CLASSIFIER_DATABSE_URL", "CLASSIFIER_DATABASE_URL"),
        ("CLASSIFIER_HOMME", "CLASSIFIER_HOME"),
        ("CLASSIFIER_QQQ", None),
    ]


def test_a_variable_of_a_declared_source_is_not_misspelt(monkeypatch, tmp_path):
    monkeypatch.setenv("CLASSIFIER_CMS", "sqlite:///x.db")
    (tmp_path / "sources.toml").write_text("[sources.cms]\nurl_from = 'CLASSIFIER_CMS'\n")
    assert settings.unknown_variables() == []


@pytest.mark.parametrize(("name", "value"), [("GPU_POD", "no"), ("GPU_POD", "{"), ("GATE", "no"), ("GATE", "[]")])
def test_a_setting_that_must_be_json_is_named(monkeypatch, name, value):
    monkeypatch.setenv(f"CLASSIFIER_{name}", value)
    with pytest.raises(SettingsError, match=rf"^CLASSIFIER_{name}: must be JSON, such as {{"):
        settings.load()


def test_a_file_of_another_encoding_is_named(tmp_path):
    (tmp_path / ".env").write_bytes("CLASSIFIER_SPLIT_KEY=Börse\n".encode("latin-1"))
    with pytest.raises(SettingsError, match=r"^\.env: cannot read \(it is not UTF-8\)"):
        settings.load()


def test_an_instance_has_the_common_settings_and_its_own_locations(monkeypatch, tmp_path):
    for name, value in {"HOME": "/data", "INBOX": "/in", "DATABASE_URL": "x", "KEEP_MODELS": "7"}.items():
        monkeypatch.setenv(f"CLASSIFIER_{name}", value)
    monkeypatch.setenv("CLASSIFIER__NEWS__SOURCES", "/news.toml")
    monkeypatch.setenv("CLASSIFIER__NEWS__DRIFT_DAYS", "3")
    (tmp_path / ".env").write_text("CLASSIFIER__SPORT__HOME=/sport\n")
    news, sport = settings.load("news"), settings.load("sport")
    assert (news.home, news.models_directory) == (Path("/data/news"), Path("/data/news/models"))
    assert (news.inbox, news.database_url, news.sources) == (None, None, Path("/news.toml"))
    assert (news.keep_models, news.drift_days, sport.drift_days) == (7, 3, 7)
    assert (sport.home, settings.load().home) == (Path("/sport"), Path("/data"))


def test_an_invalid_value_of_an_instance_is_named_with_its_variable(monkeypatch):
    monkeypatch.setenv("CLASSIFIER__NEWS__KEEP_MODELS", "many")
    settings.load()
    with pytest.raises(SettingsError, match=r"^CLASSIFIER__NEWS__KEEP_MODELS: Input should be"):
        settings.load("news")


def test_a_variable_of_an_instance_is_known_and_its_misspelling_is_not(monkeypatch):
    monkeypatch.setenv("CLASSIFIER__BIG_NEWS__INBOX", "/in")
    monkeypatch.setenv("CLASSIFIER__NEWS__INBOXX", "/in")
    assert settings.unknown_variables() == [("CLASSIFIER__NEWS__INBOXX", "CLASSIFIER__NEWS__INBOX")]
