"""Recalibration: runs, looks at outcomes, proposals, what is scored in shadow and which domains are withheld"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_NOW = sa.text("lifted_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "recalibration_run",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("domain", sa.String(length=64), nullable=False),
        sa.Column("window", sa.String(length=32), nullable=False),
        sa.Column("holder", sa.String(length=128), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_recalibration_run")),
        sa.UniqueConstraint("domain", "window", name=op.f("uq_recalibration_run_domain_window")),
    )
    op.create_table(
        "look",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("domain", sa.String(length=64), nullable=False),
        sa.Column("scanner_key", sa.String(length=512), nullable=False),
        sa.Column("window", sa.String(length=32), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("alpha", sa.Float(precision=53), nullable=False),
        sa.Column("judged_until", sa.Date(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_look")),
        sa.UniqueConstraint("kind", "domain", "scanner_key", "number", name=op.f("uq_look_kind_domain_scanner_key_number")),
        sa.UniqueConstraint("kind", "domain", "scanner_key", "window", name=op.f("uq_look_kind_domain_scanner_key_window")),
    )
    op.create_table(
        "look_exam",
        sa.Column("look_id", sa.Integer(), nullable=False),
        sa.Column("study_id", sa.String(length=16), nullable=False),
        sa.Column("judged", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["look_id"], ["look.id"], name=op.f("fk_look_exam_look_id")),
        sa.ForeignKeyConstraint(["study_id"], ["study.study_id"], name=op.f("fk_look_exam_study_id")),
        sa.PrimaryKeyConstraint("look_id", "study_id", "judged", name=op.f("pk_look_exam")),
    )
    op.create_index(op.f("ix_look_exam_study_id"), "look_exam", ["study_id"])
    op.create_table(
        "proposal",
        sa.Column("proposal_id", sa.String(length=16), nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("domain", sa.String(length=64), nullable=False),
        sa.Column("scanner_key", sa.String(length=512), nullable=False),
        sa.Column("window", sa.String(length=32), nullable=False),
        sa.Column("look_id", sa.Integer(), nullable=True),
        sa.Column("parent_release", sa.String(length=128), nullable=False),
        sa.Column("release_id", sa.String(length=128), nullable=False),
        sa.Column("content_sha256", sa.String(length=64), nullable=False),
        sa.Column("plan_sha256", sa.String(length=64), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("proposer", sa.String(length=64), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("shadow_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("approver", sa.String(length=128), nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("promoted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["look_id"], ["look.id"], name=op.f("fk_proposal_look_id")),
        sa.PrimaryKeyConstraint("proposal_id", name=op.f("pk_proposal")),
        sa.UniqueConstraint("kind", "domain", "scanner_key", "window", name=op.f("uq_proposal_kind_domain_scanner_key_window")),
        sa.UniqueConstraint("release_id", name=op.f("uq_proposal_release_id")),
    )
    op.create_index(op.f("ix_proposal_state"), "proposal", ["state"])
    op.create_table(
        "shadow_exam",
        sa.Column("proposal_id", sa.String(length=16), nullable=False),
        sa.Column("study_id", sa.String(length=16), nullable=False),
        sa.Column("champion_positive", sa.Boolean(), nullable=False),
        sa.Column("challenger_positive", sa.Boolean(), nullable=False),
        sa.Column("scored_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["proposal_id"], ["proposal.proposal_id"], name=op.f("fk_shadow_exam_proposal_id")),
        sa.ForeignKeyConstraint(["study_id"], ["study.study_id"], name=op.f("fk_shadow_exam_study_id")),
        sa.PrimaryKeyConstraint("proposal_id", "study_id", name=op.f("pk_shadow_exam")),
    )
    op.create_table(
        "withheld",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("domain", sa.String(length=64), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.String(length=64), nullable=False),
        sa.Column("lifted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lifted_by", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_withheld")),
    )
    op.create_index("uq_withheld_now", "withheld", ["domain"], unique=True, sqlite_where=_NOW, postgresql_where=_NOW)
