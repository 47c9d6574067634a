"""The assets that connect the DAGs: a DAG that updates an asset starts the DAGs that are scheduled on it."""

from __future__ import annotations

from airflow.sdk import Asset

ARTICLES = Asset(name="articles", uri="articles://articles", group="classifier")
"""New or changed articles are in the database."""

CHAMPION = Asset(name="champion-model", uri="model://champion", group="classifier")
"""A model has been promoted."""
