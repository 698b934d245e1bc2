"""People may be trusted, may withdraw and may be erased; a snapshot knows whose judgements it holds."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    for name in ("trusted_at", "withdrawn_at", "erased_at"):
        op.add_column("person", sa.Column(name, sa.Float(), nullable=True))
    op.create_table(
        "snapshot_person",
        sa.Column("snapshot_id", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("judgements", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"]),
        sa.ForeignKeyConstraint(["snapshot_id"], ["snapshot.id"]),
        sa.PrimaryKeyConstraint("snapshot_id", "person_id"),
    )
    op.create_index("ix_snapshot_person_person_id", "snapshot_person", ["person_id"])


def downgrade() -> None:
    """Not supported: restore a backup instead."""
    raise NotImplementedError("alignloop migrates forward only; restore a backup instead")
