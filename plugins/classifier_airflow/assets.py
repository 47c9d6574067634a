"""The assets that connect the DAGs: a DAG that updates an asset starts the DAGs that are scheduled on it."""

from __future__ import annotations

from airflow.sdk import Asset


def articles(instance: str = "") -> Asset:
    """Return the asset of new or changed articles in the database of an instance."""
    prefix = f"{instance}_" if instance else ""
    return Asset(name=f"{prefix}articles", uri=f"articles://{prefix}articles", group="classifier")


def champion(instance: str = "") -> Asset:
    """Return the asset of the promoted model of an instance."""
    prefix = f"{instance}_" if instance else ""
    return Asset(name=f"{prefix}champion-model", uri=f"model://{prefix}champion", group="classifier")


ARTICLES = articles()
"""New or changed articles are in the database of the instance without a name."""

CHAMPION = champion()
"""A model of the instance without a name has been promoted."""
