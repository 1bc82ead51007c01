"""What rejection notes say of instances, whether these have come or not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import String, UniqueConstraint, select, text
from sqlalchemy.orm import Mapped, Session, mapped_column

from dosremc_node.ledger.tables import Base
from dosremc_node.records import RejectionReason


class RejectionRow(Base):
    """One instance that one note rejects. An instance that has not come yet stands here too."""

    __tablename__ = "rejection"

    id: Mapped[int] = mapped_column(primary_key=True)
    note_sop_instance_uid: Mapped[str] = mapped_column(String(64))
    reason: Mapped[RejectionReason] = mapped_column(String(16))
    study_instance_uid: Mapped[str] = mapped_column(String(64))
    sop_instance_uid: Mapped[str] = mapped_column(String(64), index=True)
    calling_ae_title: Mapped[str] = mapped_column(String(16))
    received_at: Mapped[datetime]

    __table_args__ = (UniqueConstraint("note_sop_instance_uid", "study_instance_uid", "sop_instance_uid"),)


def keep_notes_out(session: Session) -> None:
    """Until this transaction ends no note is entered: it and an image that arrive together must not miss each other.

    Images do not wait for each other. (On SQLite every writer waits anyway.)
    """
    _lock(session, "ROW SHARE")


def keep_all_out(session: Session) -> None:
    """Until this transaction ends neither a note nor an image is entered."""
    _lock(session, "EXCLUSIVE")


def _lock(session: Session, mode: str) -> None:
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"LOCK TABLE rejection IN {mode} MODE"))


def is_known_note(session: Session, note_sop_instance_uid: str) -> bool:
    query = select(RejectionRow.id).where(RejectionRow.note_sop_instance_uid == note_sop_instance_uid)
    return session.scalar(query.limit(1)) is not None


def reason_of(session: Session, study_instance_uid: str, sop_instance_uid: str) -> RejectionReason | None:
    """Why an instance is rejected; None where no note names it in this study."""
    return reasons_in(session, study_instance_uid, sop_instance_uid).get(sop_instance_uid)


def reasons_in(session: Session, study_instance_uid: str, *sop_instance_uids: str) -> Mapping[str, RejectionReason]:
    """Why the instances of a study (or those of these UIDs) are rejected: the latest reason, but one that lasts before one that does not."""
    query = select(RejectionRow).where(RejectionRow.study_instance_uid == study_instance_uid).order_by(RejectionRow.id)
    if sop_instance_uids:
        query = query.where(RejectionRow.sop_instance_uid.in_(sop_instance_uids))
    rows = sorted(session.scalars(query), key=lambda row: RejectionReason(row.reason).lasts)
    return {row.sop_instance_uid: RejectionReason(row.reason) for row in rows}
