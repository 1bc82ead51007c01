"""Tables of what the hospital's other systems say: who a patient is, what the PACS has, and where they contradict each other."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import ForeignKey, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from dosremc_node.ledger.tables import Base


class ConflictRow(Base):
    """Something of a study contradicts itself, or another study, about who the woman is; ``resolved_at`` is NULL where nobody has decided.

    ``differing`` names the attributes, never their values. ``keep`` is the header (JSON) of the woman whose images stay, where a person
    set the others aside.
    """

    __tablename__ = "conflict"

    id: Mapped[int] = mapped_column(primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.study_id"), index=True)
    kind: Mapped[str] = mapped_column(String(24))
    differing: Mapped[str] = mapped_column(String(128))
    other_study_id: Mapped[str | None] = mapped_column(ForeignKey("study.study_id"))
    found_at: Mapped[datetime]
    resolved_at: Mapped[datetime | None]
    resolved_by: Mapped[str] = mapped_column(String(64), default="")
    resolution: Mapped[str] = mapped_column(String(24), default="")
    keep: Mapped[str | None] = mapped_column(Text)


class MessageRow(Base):
    """A message of another system, kept as it came before it was acknowledged. The same bytes have one row, however often they come."""

    __tablename__ = "message"

    id: Mapped[int] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    content: Mapped[bytes] = mapped_column(LargeBinary)
    type: Mapped[str] = mapped_column(String(16))
    control_id: Mapped[str] = mapped_column(String(200))
    sender: Mapped[str] = mapped_column(String(200))
    peer_address: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str] = mapped_column(Text, default="")
    times: Mapped[int] = mapped_column(default=1)
    received_at: Mapped[datetime]
    last_received_at: Mapped[datetime]


class PatientChangeRow(Base):
    """An update of a patient, or a merge of ``prior`` into the patient; counts until it is undone."""

    __tablename__ = "patient_change"

    id: Mapped[int] = mapped_column(primary_key=True)
    message_id: Mapped[int] = mapped_column(ForeignKey("message.id"))
    kind: Mapped[str] = mapped_column(String(8))
    patient_id: Mapped[str] = mapped_column(String(128), index=True)
    issuer: Mapped[str] = mapped_column(String(128))
    prior_patient_id: Mapped[str | None] = mapped_column(String(128), index=True)
    prior_issuer: Mapped[str | None] = mapped_column(String(128))
    name: Mapped[str] = mapped_column(Text, default="")
    birth_date: Mapped[str] = mapped_column(String(8), default="")
    sex: Mapped[str] = mapped_column(String(16), default="")
    changed_at: Mapped[datetime]
    undone_at: Mapped[datetime | None]
    undone_by: Mapped[str] = mapped_column(String(64), default="")


class ReconciliationRow(Base):
    """When a PACS is asked next what it has, and what came of the last time."""

    __tablename__ = "reconciliation"

    source: Mapped[str] = mapped_column(String(32), primary_key=True)
    due_at: Mapped[datetime]
    asked_at: Mapped[datetime | None]
    studies: Mapped[int | None]
    failure: Mapped[str] = mapped_column(Text, default="")


class MissingStudyRow(Base):
    """A mammography study of which a PACS has more than the node; ``settled_at`` is when it was no longer so."""

    __tablename__ = "missing_study"

    id: Mapped[int] = mapped_column(primary_key=True)
    source: Mapped[str] = mapped_column(String(32))
    study_instance_uid: Mapped[str] = mapped_column(String(64))
    study_date: Mapped[date | None]
    images_there: Mapped[int | None]
    images_here: Mapped[int]
    found_at: Mapped[datetime]
    fetches: Mapped[int] = mapped_column(default=0)
    fetched_at: Mapped[datetime | None]
    failure: Mapped[str] = mapped_column(Text, default="")
    settled_at: Mapped[datetime | None]

    __table_args__ = (UniqueConstraint("source", "study_instance_uid"),)
