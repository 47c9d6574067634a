"""The numbers of all advisory locks in the articles' database: two locks of one number would be one lock.

Postgres tells locks of one key from those of two. `classifier.embedded_postgres` has a number of its own in this
series, since it does not import the store.
"""

from __future__ import annotations

from typing import Final

# Locks of one key.
MIGRATIONS: Final = 7_303_014_202_611
CHAMPION: Final = 7_303_014_202_612
QUEUE: Final = 7_303_014_202_613
"""Adding to the labelling queue."""
SPLITS: Final = 7_303_014_202_614
"""Deciding splits."""
REVIEWS: Final = 7_303_014_202_615
ROLES: Final = 7_303_014_202_616
"""Making roles: two processes at once would change the same rows of Postgres' own tables."""
STUDIES: Final = 7_305_811
"""Making the tables of studies, or a study."""

# First of two keys; the second is named beside it.
SOURCE: Final = 730_301
"""A source's name, hashed."""
OPEN_PAGES: Final = 730_302
"""A model's id: its pages of the labelling queue that are open."""
MODEL_FILES: Final = 730_303
"""A model's id: readers of its files share it."""
EVALUATIONS: Final = 730_304
"""A model's id: storing an evaluation of it."""
