"""A queue that is vacuumed in time, predictions that are written faster, and an index that tells how fast.

The queue's rows are inserted and deleted, hardly ever updated, so room in its pages (fillfactor) would be
empty. What it needs is to be vacuumed by the number of rows that went, however many are in it, and at full
speed: a claim reads past every dead row before its first live one.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

QUEUE_SETTINGS = {
    "autovacuum_vacuum_scale_factor": "0",
    "autovacuum_vacuum_threshold": "10000",
    "autovacuum_vacuum_insert_scale_factor": "0",
    "autovacuum_vacuum_insert_threshold": "50000",
    "autovacuum_vacuum_cost_delay": "0",
    "autovacuum_analyze_scale_factor": "0",
    "autovacuum_analyze_threshold": "10000",
}


def upgrade() -> None:
    settings = ", ".join(f"{name} = {value}" for name, value in QUEUE_SETTINGS.items())
    op.execute(f"ALTER TABLE labelling_queue SET ({settings})")
    op.alter_column(
        "predictions",
        "predicted_at",
        server_default=sa.text("statement_timestamp()"),
        comment="when it was written: a page's transaction begins long before",
    )
    op.drop_constraint(op.f("fk_predictions_model_id_models"), "predictions", type_="foreignkey")
    op.create_index(op.f("ix_predictions_predicted_at"), "predictions", ["predicted_at"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_predictions_predicted_at"), table_name="predictions")
    op.execute("DELETE FROM predictions WHERE model_id NOT IN (SELECT id FROM models)")
    op.create_foreign_key(
        op.f("fk_predictions_model_id_models"), "predictions", "models", ["model_id"], ["id"], ondelete="CASCADE"
    )
    op.alter_column("predictions", "predicted_at", server_default=sa.text("now()"), comment=None)
    op.execute(f"ALTER TABLE labelling_queue RESET ({', '.join(QUEUE_SETTINGS)})")
