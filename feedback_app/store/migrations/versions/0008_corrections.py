"""A task may show a correction beside what it corrects."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    op.add_column("task", sa.Column("correction_of", sa.String(), nullable=True))
    op.create_index("ix_task_correction_of", "task", ["correction_of"])


def downgrade() -> None:
    """Not supported: restore a backup instead."""
    raise NotImplementedError("alignloop migrates forward only; restore a backup instead")
