"""The moments before each batch norm of sampled images"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "batch_norm_moments",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("revision_id", sa.Integer(), nullable=False),
        sa.Column("image_sha256", sa.String(length=64), nullable=False),
        sa.Column("moments", sa.Text(), nullable=False),
        sa.Column("measured_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["revision_id"], ["revision.id"], name=op.f("fk_batch_norm_moments_revision_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch_norm_moments")),
        sa.UniqueConstraint("revision_id", "image_sha256", name=op.f("uq_batch_norm_moments_revision_id_image_sha256")),
    )
