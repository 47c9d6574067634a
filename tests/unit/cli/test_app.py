"""What the command line says before any command runs."""

from __future__ import annotations

from importlib import metadata


def test_the_version_is_printed(classifier):
    done = classifier("--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"classifier {metadata.version('article-classifier')}\n"


def test_a_misspelt_setting_is_a_warning(classifier):
    done = classifier("recipes", "--json", CLASSIFIER_HOMME="x")
    assert done.returncode == 0
    assert done.stderr == "warning: CLASSIFIER_HOMME: unknown setting; did you mean CLASSIFIER_HOME?\n"
