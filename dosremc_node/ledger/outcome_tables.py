"""Tables of what is known of the truth: reports of pathology and follow-up, women who objected, and the random audit arm."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from dosremc_node.ledger.tables import Base
from dosremc_node.records import Diagnosis, Laterality, OutcomeStatus


class OutcomeState(StrEnum):
    """What becomes of a report. It follows from the report, the studies, the merges and a person's decision, and is found anew when one changes."""

    MATCHED = "matched"
    """It says something certain of one breast, and belongs to one exam."""
    WAITING = "waiting"
    """For an exam that has not come, or for the final report."""
    REVIEW = "review"
    """For a person, who is told why."""
    SUPERSEDED = "superseded"
    """Another version of the same result is in force."""
    WITHDRAWN = "withdrawn"
    """Its source took it back."""
    DISMISSED = "dismissed"
    """A person said that it is of no exam here."""


class OutcomeRow(Base):
    """One version of one result, as it came. Nothing is ever deleted: what counts follows from ``state``.

    ``result_sha256`` is the digest of source and identifier, which a correction shares with what it corrects; ``content_sha256`` that of
    all it says. ``laterality``, ``diagnosis`` and ``examined_on`` are what holds now, a person's ``decision`` (JSON) included, and
    ``match_due`` says that something changed on which the match depends.
    """

    __tablename__ = "outcome"

    id: Mapped[int] = mapped_column(primary_key=True)
    result_sha256: Mapped[str] = mapped_column(String(64))
    content_sha256: Mapped[str] = mapped_column(String(64))
    source: Mapped[str] = mapped_column(String(128))
    status: Mapped[OutcomeStatus] = mapped_column(String(16))
    patient_id: Mapped[str] = mapped_column(String(128), index=True)
    issuer: Mapped[str] = mapped_column(String(128))
    accession_number: Mapped[str] = mapped_column(String(64), index=True)
    report: Mapped[str] = mapped_column(Text)
    laterality: Mapped[Laterality | None] = mapped_column(String(1))
    diagnosis: Mapped[Diagnosis | None] = mapped_column(String(16))
    examined_on: Mapped[date | None]
    state: Mapped[OutcomeState] = mapped_column(String(16), index=True)
    study_id: Mapped[str | None] = mapped_column(ForeignKey("study.study_id"), index=True)
    score: Mapped[float | None]
    reason: Mapped[str] = mapped_column(Text, default="")
    decision: Mapped[str | None] = mapped_column(Text)
    decided_by: Mapped[str] = mapped_column(String(64), default="")
    match_due: Mapped[bool] = mapped_column(default=True)
    issued_at: Mapped[datetime | None]
    received_at: Mapped[datetime]
    settled_at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("result_sha256", "content_sha256"),
        Index("ix_outcome_match_due", "id", sqlite_where=text("match_due = 1"), postgresql_where=text("match_due")),
    )


class ObjectionRow(Base):
    """A woman's objection, under the identifier that she was named by; holds until it is revoked."""

    __tablename__ = "objection"

    id: Mapped[int] = mapped_column(primary_key=True)
    patient_id: Mapped[str] = mapped_column(String(128), index=True)
    issuer: Mapped[str] = mapped_column(String(128))
    actor: Mapped[str] = mapped_column(String(64))
    objected_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    revoked_by: Mapped[str] = mapped_column(String(64), default="")


class AuditArmRow(Base):
    """An exam that the lot was drawn for, once: with which ``probability`` it could come into the audit arm, and whether it did."""

    __tablename__ = "audit_arm"

    study_id: Mapped[str] = mapped_column(ForeignKey("study.study_id"), primary_key=True)
    probability: Mapped[float]
    drawn: Mapped[bool]
    at: Mapped[datetime]


class AuditArmKeyRow(Base):
    """The secret that the lots are drawn with, made once, so that nobody can foretell or choose them."""

    __tablename__ = "audit_arm_key"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    key: Mapped[bytes] = mapped_column(LargeBinary)
    made_at: Mapped[datetime]
