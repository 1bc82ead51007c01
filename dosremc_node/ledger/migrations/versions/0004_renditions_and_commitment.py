"""Renditions of documents, and storage commitment"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("document", sa.Column("rendition_of", sa.String(length=64), nullable=True))
    op.add_column("delivery", sa.Column("commit_by", sa.DateTime(timezone=True), nullable=True))
    op.add_column("delivery", sa.Column("transaction_uid", sa.String(length=64), nullable=True))
    op.create_table(
        "commitment",
        sa.Column("transaction_uid", sa.String(length=64), nullable=False),
        sa.Column("revision_id", sa.Integer(), nullable=False),
        sa.Column("destination", sa.String(length=32), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["revision_id"], ["revision.id"], name=op.f("fk_commitment_revision_id")),
        sa.PrimaryKeyConstraint("transaction_uid", name=op.f("pk_commitment")),
    )
    op.create_index(op.f("ix_commitment_revision_id"), "commitment", ["revision_id"])
