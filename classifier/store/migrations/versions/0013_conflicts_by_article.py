"""Conflicts of annotations, found without looking at what every person said of every article.

Only articles of which two annotations by people differ are looked at closely. An article alone is looked up.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

CONFLICTS = """
CREATE OR REPLACE VIEW annotation_conflicts AS
SELECT suspects.article_id
FROM (
    SELECT article_id
    FROM annotations_in_force
    WHERE annotator NOT LIKE 'source:%'
    GROUP BY article_id
    HAVING min(category) <> max(category)
) AS suspects
WHERE (
    SELECT min(opinions.category) <> max(opinions.category)
    FROM annotation_opinions AS opinions
    WHERE opinions.article_id = suspects.article_id
)
"""

FORMER_CONFLICTS = """
CREATE OR REPLACE VIEW annotation_conflicts AS
SELECT article_id
FROM annotation_opinions
GROUP BY article_id
HAVING min(category) <> max(category)
"""


def upgrade() -> None:
    op.execute(sa.text(CONFLICTS))


def downgrade() -> None:
    op.execute(sa.text(FORMER_CONFLICTS))
