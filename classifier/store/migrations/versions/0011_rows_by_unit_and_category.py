"""Find a unit's rejected rows in the order of their ids, and an annotation's category, without reading the table."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.drop_index(op.f("ix_rejected_rows_unit"), table_name="rejected_rows")
    op.create_index(op.f("ix_rejected_rows_unit_id"), "rejected_rows", ["unit", "id"], unique=False)
    op.create_index(op.f("ix_annotations_category"), "annotations", ["category"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_annotations_category"), table_name="annotations")
    op.drop_index(op.f("ix_rejected_rows_unit_id"), table_name="rejected_rows")
    op.create_index(op.f("ix_rejected_rows_unit"), "rejected_rows", ["unit"], unique=False)
