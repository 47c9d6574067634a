"""Progress is shown at a terminal only."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from classifier.cli import progress
from classifier.training.fit import TrainingProgress


def use_all(quiet=False):
    with progress.counter("rows", quiet=quiet) as on_rows:
        on_rows(1234)
    with progress.bar("labelling", quiet=quiet) as (on_start, on_page):
        on_start(10)
        on_page(4)
    with progress.training(quiet=quiet) as on_progress:
        on_progress(TrainingProgress(1, 10, 1, 0.5, None, 2.0, 18.0))
        on_progress(TrainingProgress(10, 10, 2, 0.25, 0.9, 20.0, 0.0))


@pytest.fixture
def terminal(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(progress, "STDERR", Console(file=file, force_terminal=True, width=100))
    return file


def test_a_terminal_shows_the_progress(terminal):
    use_all()
    output = terminal.getvalue()
    for part in ("1,234", "rows", "labelling", "4/10", "epoch 2, loss 0.250, validation macro-F1 0.9000", "10/10"):
        assert part in output


def test_quiet_hides_the_progress(terminal):
    use_all(quiet=True)
    assert not terminal.getvalue()


def test_a_file_or_a_pipe_gets_no_progress(capfd):
    use_all()
    assert capfd.readouterr() == ("", "")
