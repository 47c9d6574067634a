"""Clusters of near-duplicates, which share a split.

Texts that are there already have no cluster yet: the next ingest places them, as SQL cannot.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

TEXT_CLUSTERS = """
CREATE VIEW text_clusters AS
SELECT fingerprint, cluster_id FROM splits WHERE cluster_id IS NOT NULL
UNION ALL
SELECT fingerprint, cluster_id FROM bridges
"""


def upgrade() -> None:
    op.create_table(
        "clusters",
        sa.Column(
            "id",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="first 8 bytes of its first fingerprint",
        ),
        sa.Column("split", sa.Text(), nullable=False, comment="decided once"),
        sa.Column("founded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.CheckConstraint("split IN ('train', 'validation', 'test')", name=op.f("ck_clusters_split")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_clusters")),
    )
    op.create_table(
        "cluster_bands",
        sa.Column(
            "band",
            sa.BigInteger(),
            autoincrement=False,
            nullable=False,
            comment="hash of a band of a MinHash signature",
        ),
        sa.Column("cluster_id", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("band", name=op.f("pk_cluster_bands")),
    )
    op.create_table(
        "bridges",
        sa.Column(
            "fingerprint",
            sa.LargeBinary(),
            nullable=False,
            comment="of a text that is near texts of several clusters",
        ),
        sa.Column(
            "cluster_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="one of the further clusters"
        ),
        sa.PrimaryKeyConstraint("fingerprint", "cluster_id", name=op.f("pk_bridges")),
    )
    op.add_column(
        "splits",
        sa.Column(
            "cluster_id",
            sa.BigInteger(),
            nullable=True,
            comment="the cluster that gave it; null: decided before there were clusters",
        ),
    )
    op.create_index(op.f("ix_splits_cluster_id"), "splits", ["cluster_id"], unique=False)
    op.execute(TEXT_CLUSTERS)
    op.execute("COMMENT ON VIEW text_clusters IS 'Every cluster of near-duplicates that a text belongs to'")


def downgrade() -> None:
    op.execute("DROP VIEW text_clusters")
    op.drop_index(op.f("ix_splits_cluster_id"), table_name="splits")
    op.drop_column("splits", "cluster_id")
    for table in ("bridges", "cluster_bands", "clusters"):
        op.drop_table(table)
