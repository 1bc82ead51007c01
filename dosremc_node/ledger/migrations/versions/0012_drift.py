"""Drift: frozen references, alarms, and the latest figures of each scanner"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_IN_FORCE, _OPEN = sa.text("ended_at IS NULL"), sa.text("settled_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "drift_reference",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("scanner_key", sa.String(length=512), nullable=False),
        sa.Column("domain", sa.String(length=64), nullable=False),
        sa.Column("release_id", sa.String(length=128), nullable=False),
        sa.Column("bank_sha256", sa.String(length=64), nullable=False),
        sa.Column("preprocessing_sha256", sa.String(length=64), nullable=False),
        sa.Column("exams", sa.Integer(), nullable=False),
        sa.Column("first_taken_on", sa.Date(), nullable=False),
        sa.Column("last_taken_on", sa.Date(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("frozen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("frozen_by", sa.String(length=64), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift_reference")),
    )
    op.create_index(
        "uq_drift_reference_in_force",
        "drift_reference",
        ["scanner_key"],
        unique=True,
        sqlite_where=_IN_FORCE,
        postgresql_where=_IN_FORCE,
    )
    op.create_table(
        "drift_alarm",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("scanner_key", sa.String(length=512), nullable=False),
        sa.Column("domain", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("taken_on", sa.Date(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("raised_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settled_by", sa.String(length=64), nullable=False),
        sa.Column("settled_because", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_drift_alarm")),
    )
    op.create_index("ix_drift_alarm_scanner_key", "drift_alarm", ["scanner_key"])
    op.create_index("uq_drift_alarm_open", "drift_alarm", ["scanner_key", "kind"], unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN)
    op.create_table(
        "drift_figures",
        sa.Column("scanner_key", sa.String(length=512), nullable=False),
        sa.Column("figures", sa.Text(), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("scanner_key", name=op.f("pk_drift_figures")),
    )
