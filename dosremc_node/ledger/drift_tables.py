"""Tables of what scanners are watched by: frozen references, alarms, and the latest figures."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from dosremc_node.ledger.tables import Base

_IN_FORCE, _OPEN = text("ended_at IS NULL"), text("settled_at IS NULL")


class DriftReferenceRow(Base):
    """Exams of a scanner that were frozen while all was well: of one key, under one release, bank and preprocessing.

    ``content`` (JSON) has their scores and the charts that were made for them, which are costly. ``ended_at`` is NULL while it is in force.
    """

    __tablename__ = "drift_reference"

    id: Mapped[int] = mapped_column(primary_key=True)
    scanner_key: Mapped[str] = mapped_column(String(512))
    domain: Mapped[str] = mapped_column(String(64))
    release_id: Mapped[str] = mapped_column(String(128))
    bank_sha256: Mapped[str] = mapped_column(String(64))
    preprocessing_sha256: Mapped[str] = mapped_column(String(64))
    exams: Mapped[int]
    first_taken_on: Mapped[date]
    last_taken_on: Mapped[date]
    content: Mapped[str] = mapped_column(Text)
    frozen_at: Mapped[datetime]
    frozen_by: Mapped[str] = mapped_column(String(64))
    ended_at: Mapped[datetime | None]

    __table_args__ = (Index("uq_drift_reference_in_force", "scanner_key", unique=True, sqlite_where=_IN_FORCE, postgresql_where=_IN_FORCE),)


class DriftAlarmRow(Base):
    """Something about a scanner changed. ``taken_on`` is the day of the exam that showed it; ``settled_at`` is NULL until a person has seen to it."""

    __tablename__ = "drift_alarm"

    id: Mapped[int] = mapped_column(primary_key=True)
    scanner_key: Mapped[str] = mapped_column(String(512))
    domain: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(32))
    taken_on: Mapped[date]
    detail: Mapped[str] = mapped_column(Text)
    raised_at: Mapped[datetime]
    settled_at: Mapped[datetime | None]
    settled_by: Mapped[str] = mapped_column(String(64), default="")
    settled_because: Mapped[str] = mapped_column(Text, default="")

    __table_args__ = (
        Index("uq_drift_alarm_open", "scanner_key", "kind", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
        Index("ix_drift_alarm_scanner_key", "scanner_key"),
    )


class DriftFiguresRow(Base):
    """What the last look at a scanner found (JSON): for metrics, which must not compute it anew at every scrape."""

    __tablename__ = "drift_figures"

    scanner_key: Mapped[str] = mapped_column(String(512), primary_key=True)
    figures: Mapped[str] = mapped_column(Text)
    computed_at: Mapped[datetime]
