"""Wrong passwords are counted by guesser, without names; browsers that signed in before are known again.

The old rows held what people had typed as their name, in clear: they are dropped, not carried over.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply the change."""
    if op.get_bind().dialect.name == "sqlite":
        op.execute("PRAGMA secure_delete=ON")  # some of these names are passwords that went into the wrong field
    op.drop_table("wrong_password")
    op.create_table(
        "wrong_password",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("wrong", sa.Integer(), nullable=False),
        sa.Column("at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("name", "source"),
    )
    op.create_index("ix_wrong_password_at", "wrong_password", ["at"])
    op.create_table(
        "device",
        sa.Column("token_hash", sa.String(), nullable=False),
        sa.Column("person_id", sa.String(), nullable=False),
        sa.Column("used_at", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"]),
        sa.PrimaryKeyConstraint("token_hash", "person_id"),
    )
    op.create_index("ix_device_person_id", "device", ["person_id"])
    # Keys of people who are disabled now would work again once they are enabled.
    op.execute(
        "UPDATE api_key SET revoked_at = created_at WHERE revoked_at IS NULL "
        "AND person_id IN (SELECT id FROM person WHERE disabled)"
    )


def downgrade() -> None:
    """Not supported: restore a backup instead."""
    raise NotImplementedError("alignloop migrates forward only; restore a backup instead")
