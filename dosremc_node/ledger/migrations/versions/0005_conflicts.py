"""Where studies contradict themselves, or each other, about the patient"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("study", sa.Column("identity_sha256", sa.String(length=64), nullable=True))
    op.create_table(
        "conflict",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("differing", sa.String(length=128), nullable=False),
        sa.Column("other_study_id", sa.String(length=16), nullable=True),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("resolved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("resolved_by", sa.String(length=64), nullable=False),
        sa.Column("resolution", sa.String(length=24), nullable=False),
        sa.Column("keep", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["study_id"], ["study.study_id"], name=op.f("fk_conflict_study_id")),
        sa.ForeignKeyConstraint(["other_study_id"], ["study.study_id"], name=op.f("fk_conflict_other_study_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_conflict")),
    )
    op.create_index(op.f("ix_conflict_study_id"), "conflict", ["study_id"])
