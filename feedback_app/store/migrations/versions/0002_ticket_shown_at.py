"""A ticket knows when it was first shown: prepared ones are made earlier than they are seen."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.add_column("ticket", sa.Column("shown_at", sa.Float(), nullable=True))


def downgrade() -> None:
    """Not supported: restore a backup instead."""
    raise NotImplementedError("alignloop migrates forward only; restore a backup instead")
