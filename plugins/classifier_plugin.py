"""The classifier's plugin, for an Airflow whose plugins folder this is. An installed package brings it by itself."""

from __future__ import annotations

from importlib.metadata import entry_points

if not entry_points(group="airflow.plugins", name="classifier"):
    from classifier_ui.plugin import ClassifierPlugin  # noqa: F401 - Airflow finds it here
