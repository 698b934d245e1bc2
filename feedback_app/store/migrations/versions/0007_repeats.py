"""A task may be another one again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.add_column("task", sa.Column("repeat_of", sa.String(), nullable=True))
    op.create_index("ix_task_repeat_of", "task", ["repeat_of"], unique=True)


def downgrade() -> None:
    """Not supported: restore a backup instead."""
    raise NotImplementedError("alignloop migrates forward only; restore a backup instead")
