"""The numbers of all advisory locks of Postgres: two locks with the same number would be one lock.

Postgres distinguishes locks with one key from locks with two keys.
"""

from __future__ import annotations

from typing import Final

# Locks with one key.
SCHEMA_UPGRADE: Final = 7_303_014_202_611
CHAMPION: Final = 7_303_014_202_612
"""Choosing the champion."""
LABELLING_QUEUE: Final = 7_303_014_202_613
"""Adding articles to the labelling queue."""
SPLITS: Final = 7_303_014_202_614
"""Deciding splits."""
REVIEWS: Final = 7_303_014_202_615
"""Filling the review queue and importing annotations."""
ROLES: Final = 7_303_014_202_616
"""Creating roles and granting rights: two processes at once would update the same rows of Postgres' catalogue."""
CREATE_DATABASES: Final = 7_303_014_202_617
"""Creating the databases of the embedded server."""
ARTICLE_COPIES: Final = 7_303_014_202_618
"""Copies of articles outside the database: trainings, evaluations and checks of annotations share the lock, an erasure
needs it alone."""
OPTUNA_STUDIES: Final = 7_305_811
"""Creating Optuna's tables, or a study."""

# The first of two keys; the docstring names the second.
SOURCE: Final = 730_301
"""The hash of a source's name: ingesting the source."""
OPEN_PAGES: Final = 730_302
"""A model's id: labelling a page of the queue with the model."""
MODEL_FILES: Final = 730_303
"""A model's id: readers of its files share the lock, deleting them needs it alone."""
EVALUATIONS: Final = 730_304
"""A model's id: storing an evaluation of it."""
