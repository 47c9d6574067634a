"""The environment in which users make mistakes."""

from __future__ import annotations

import pytest

from classifier.settings import Settings
from classifier.store import connections
from classifier.workspace import Workspace
from tests.support.mistakes import MistakeEnv


@pytest.fixture
def env(database_url, tmp_path):
    url = database_url.render_as_string(hide_password=False)
    engine = connections.connect(url)
    workspace = Workspace(engine, Settings(home=tmp_path / "home", _env_file=None))
    yield MistakeEnv(workspace, tmp_path, {"CLASSIFIER_DATABASE_URL": url})
    engine.dispose()
