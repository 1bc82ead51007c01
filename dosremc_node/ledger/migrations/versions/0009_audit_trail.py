"""What the audit trail tells of, how far it was handed on, what was refused; and that it is only ever appended to"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_NOT_AUDITED = sa.text("audit_sequence IS NULL")
_REFUSE_ON_SQLITE = "CREATE TRIGGER audit_{deed} BEFORE {deed} ON audit BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
_REFUSE_ON_POSTGRESQL = (
    "CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'the audit trail is append-only'; END $$",
    "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()",
)


def upgrade() -> None:
    op.add_column("instance", sa.Column("audit_sequence", sa.Integer(), nullable=True))
    op.create_index("ix_instance_not_audited", "instance", ["id"], sqlite_where=_NOT_AUDITED, postgresql_where=_NOT_AUDITED)
    op.create_table(
        "audit_sink",
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("holder", sa.String(length=64), nullable=False),
        sa.Column("held_until", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_audit_sink")),
    )
    op.create_table(
        "refusal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("calling_ae_title", sa.String(length=16), nullable=False),
        sa.Column("peer_address", sa.String(length=64), nullable=False),
        sa.Column("why", sa.String(length=128), nullable=False),
        sa.Column("times", sa.Integer(), nullable=False),
        sa.Column("audit_sequence", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refusal")),
    )
    op.create_index("ix_refusal_not_audited", "refusal", ["id"], sqlite_where=_NOT_AUDITED, postgresql_where=_NOT_AUDITED)
    on_postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in _REFUSE_ON_POSTGRESQL if on_postgresql else [_REFUSE_ON_SQLITE.format(deed=deed) for deed in ("UPDATE", "DELETE")]:
        op.execute(statement)
