"""What ties the DAGs together: who announces one of these starts whoever waits for it."""

from __future__ import annotations

from airflow.sdk import Asset

ARTICLES = Asset(name="articles", uri="articles://articles", group="classifier")
"""New or changed articles are in the database."""

CHAMPION = Asset(name="champion-model", uri="model://champion", group="classifier")
"""Another model has been promoted."""
