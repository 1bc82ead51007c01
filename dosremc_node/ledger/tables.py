"""The ledger's tables. Every state is a row, every deadline a column, so that any process can go on from what is here.

Alembic's migrations (`migrations/`) make them; a test compares both.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    BigInteger,
    DateTime,
    Dialect,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Mapped, mapped_column, relationship

from dosremc_node.ledger.states import DeliveryState, RevisionState, Standing


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time. SQLite forgets the zone, so everything is kept in UTC and comes back aware."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the ledger takes aware times only")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {datetime: UtcDateTime, float: Float(53)}


class StudyRow(Base):
    """A study. ``due_at`` is when its next revision is to be opened, NULL where nothing waits.

    ``identity_sha256`` is the digest of what every object of it says of the woman; NULL where they say different things.
    """

    __tablename__ = "study"

    study_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    study_instance_uid: Mapped[str] = mapped_column(String(64), unique=True)
    patient_id: Mapped[str] = mapped_column(String(128), index=True)
    issuer_of_patient_id: Mapped[str] = mapped_column(String(128))
    accession_number: Mapped[str] = mapped_column(String(64), index=True)
    identity_sha256: Mapped[str | None] = mapped_column(String(64))
    study_date: Mapped[date | None]
    first_received_at: Mapped[datetime]
    last_received_at: Mapped[datetime]
    waiting_since: Mapped[datetime | None]
    due_at: Mapped[datetime | None] = mapped_column(index=True)
    # Nothing reads it: labels are worked out (`labels`). It is written for as long as a version may run beside this one that does not know
    # the ledger without it; a later migration drops it.
    label_state: Mapped[str] = mapped_column(String(24), default="pending")

    instances: Mapped[list[InstanceRow]] = relationship(back_populates="study", order_by="InstanceRow.id")
    revisions: Mapped[list[RevisionRow]] = relationship(back_populates="study", order_by="RevisionRow.number")


class InstanceRow(Base):
    """An instance that lies safely among the artifacts, with what its header says.

    ``removed_at`` is when retention removed its bytes, ``missing_since`` when they were found missing though nobody had
    removed them; both are NULL where they are there. ``audit_sequence`` is the row of the trail that tells of its arrival.
    """

    __tablename__ = "instance"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.study_id"), index=True)
    sop_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    sop_class_uid: Mapped[str] = mapped_column(String(64))
    transfer_syntax_uid: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    standing: Mapped[Standing] = mapped_column(String(16))
    header: Mapped[str] = mapped_column(Text)
    manufacturer: Mapped[str] = mapped_column(String(128))
    model: Mapped[str] = mapped_column(String(128))
    software_version: Mapped[str] = mapped_column(String(256))
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    peer_address: Mapped[str] = mapped_column(String(64))
    received_at: Mapped[datetime]
    removed_at: Mapped[datetime | None]
    missing_since: Mapped[datetime | None]
    audit_sequence: Mapped[int | None]

    study: Mapped[StudyRow] = relationship(back_populates="instances")

    __table_args__ = (
        UniqueConstraint("sop_instance_uid", "sha256"),
        # One primary per UID whatever arrives at the same moment on two associations.
        Index(
            "uq_instance_primary",
            "sop_instance_uid",
            unique=True,
            sqlite_where=text("standing = 'primary'"),
            postgresql_where=text("standing = 'primary'"),
        ),
        Index(
            "ix_instance_contender",
            "standing",
            sqlite_where=text("standing = 'contender'"),
            postgresql_where=text("standing = 'contender'"),
        ),
        Index(
            "ix_instance_not_audited",
            "id",
            sqlite_where=text("audit_sequence IS NULL"),
            postgresql_where=text("audit_sequence IS NULL"),
        ),
    )


class RevisionRow(Base):
    """A revision: everything its report will depend on is pinned here before the first step.

    ``epoch`` grows each time a process takes the revision in hand; a write under an old epoch is refused. ``drive``
    grows each time a person re-drives it. ``attempts`` counts the epochs of this drive.
    """

    __tablename__ = "revision"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.study_id"))
    number: Mapped[int]
    predecessor: Mapped[int | None]
    state: Mapped[RevisionState] = mapped_column(String(16), index=True)
    epoch: Mapped[int] = mapped_column(default=0)
    drive: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    reason: Mapped[str] = mapped_column(Text, default="")
    release_id: Mapped[str] = mapped_column(String(128))
    domain: Mapped[str] = mapped_column(String(64), default="")
    bank_sha256: Mapped[str] = mapped_column(String(64), default="")
    scanner_key: Mapped[str] = mapped_column(String(512), default="", index=True)
    threshold: Mapped[float | None]
    plan: Mapped[str] = mapped_column(Text)
    assessment: Mapped[str | None] = mapped_column(Text)
    opened_at: Mapped[datetime]
    assessed_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]

    study: Mapped[StudyRow] = relationship(back_populates="revisions")
    documents: Mapped[list[DocumentRow]] = relationship(back_populates="revision", order_by="DocumentRow.id")

    __table_args__ = (UniqueConstraint("study_id", "number"),)


class BatchNormMomentsRow(Base):
    """The moments before each batch norm of one sampled image; release, bank and scanner key are its revision's."""

    __tablename__ = "batch_norm_moments"

    id: Mapped[int] = mapped_column(primary_key=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("revision.id"))
    image_sha256: Mapped[str] = mapped_column(String(64))
    moments: Mapped[str] = mapped_column(Text)
    measured_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("revision_id", "image_sha256"),)


class DocumentRow(Base):
    """A rendered document, whose bytes lie among the artifacts from before the first send (promise 4).

    ``rendition_of`` is the UID of the document that it is a rendition of, made for destinations that want it otherwise.
    """

    __tablename__ = "document"

    id: Mapped[int] = mapped_column(primary_key=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("revision.id"), index=True)
    kind: Mapped[str] = mapped_column(String(32))
    sop_class_uid: Mapped[str] = mapped_column(String(64))
    sop_instance_uid: Mapped[str] = mapped_column(String(64), unique=True)
    series_instance_uid: Mapped[str] = mapped_column(String(64))
    description: Mapped[str] = mapped_column(String(64))
    artifact_key: Mapped[str] = mapped_column(String(160))
    rendition_of: Mapped[str | None] = mapped_column(String(64))
    rendered_at: Mapped[datetime]

    revision: Mapped[RevisionRow] = relationship(back_populates="documents")
    deliveries: Mapped[list[DeliveryRow]] = relationship(back_populates="document", order_by="DeliveryRow.id")


class DeliveryRow(Base):
    """One document on its way to one destination. ``due_at`` is the next try, of sending it or of asking for commitment.

    ``commit_by`` is until when the destination may commit to its storage, ``transaction_uid`` the request that asked for it last.
    """

    __tablename__ = "delivery"

    id: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[int] = mapped_column(ForeignKey("document.id"))
    destination: Mapped[str] = mapped_column(String(32))
    state: Mapped[DeliveryState] = mapped_column(String(16))
    attempts: Mapped[int] = mapped_column(default=0)
    due_at: Mapped[datetime]
    status: Mapped[int | None]
    comment: Mapped[str] = mapped_column(Text, default="")
    delivered_at: Mapped[datetime | None]
    commit_by: Mapped[datetime | None]
    transaction_uid: Mapped[str | None] = mapped_column(String(64))

    document: Mapped[DocumentRow] = relationship(back_populates="deliveries")

    __table_args__ = (UniqueConstraint("document_id", "destination"), Index("ix_delivery_due", "state", "due_at"))


class CommitmentRow(Base):
    """A request for storage commitment. Its answer may come days later, and on an association that the destination opens."""

    __tablename__ = "commitment"

    transaction_uid: Mapped[str] = mapped_column(String(64), primary_key=True)
    revision_id: Mapped[int] = mapped_column(ForeignKey("revision.id"), index=True)
    destination: Mapped[str] = mapped_column(String(32))
    requested_at: Mapped[datetime]
    answered_at: Mapped[datetime | None]


class AuditRow(Base):
    """The append-only trail: each row's hash covers the one before, so that a row changed or removed shows."""

    __tablename__ = "audit"

    sequence: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(128))
    detail: Mapped[str] = mapped_column(Text)
    previous_sha256: Mapped[str] = mapped_column(String(64))
    sha256: Mapped[str] = mapped_column(String(64))


class AuditSinkRow(Base):
    """How far the trail was handed on to a place outside, and which process does it until when."""

    __tablename__ = "audit_sink"

    name: Mapped[str] = mapped_column(String(256), primary_key=True)
    sequence: Mapped[int]
    holder: Mapped[str] = mapped_column(String(64))
    held_until: Mapped[datetime]


class RefusalRow(Base):
    """How often an association or an object was refused, to whom and why, over a few seconds."""

    __tablename__ = "refusal"

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(16))
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    peer_address: Mapped[str] = mapped_column(String(64))
    why: Mapped[str] = mapped_column(String(128))
    times: Mapped[int]
    audit_sequence: Mapped[int | None]

    __table_args__ = (
        Index(
            "ix_refusal_not_audited",
            "id",
            sqlite_where=text("audit_sequence IS NULL"),
            postgresql_where=text("audit_sequence IS NULL"),
        ),
    )


class ReleaseInForceRow(Base):
    """The one release that new revisions are pinned to. Its single row can be changed while nodes run."""

    __tablename__ = "release_in_force"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    release_id: Mapped[str] = mapped_column(String(128))
    since: Mapped[datetime]
    actor: Mapped[str] = mapped_column(String(64))


def fitting(column: InstrumentedAttribute[str], text: str) -> str:
    """What of a text the column has room for: PostgreSQL refuses more, and an odd header must not jam a sender.

    The whole text stands in the instance's ``header`` and in the revision's ``plan``.
    """
    kind = column.type
    return text[: kind.length] if isinstance(kind, String) and kind.length else text
