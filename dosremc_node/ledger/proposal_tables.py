"""Tables of recalibration: who looked at which exams, what was proposed, what became of it, and which domains are not shown."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import ForeignKey, Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from dosremc_node.ledger.states import ProposalState
from dosremc_node.ledger.tables import Base


class RecalibrationRunRow(Base):
    """The one run over a domain and a window; ``holder`` may go on with it, and ``finished_at`` is NULL until it is through."""

    __tablename__ = "recalibration_run"

    id: Mapped[int] = mapped_column(primary_key=True)
    domain: Mapped[str] = mapped_column(String(64))
    window: Mapped[str] = mapped_column(String(32))
    holder: Mapped[str] = mapped_column(String(128))
    started_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
    outcome: Mapped[str] = mapped_column(Text, default="")

    __table_args__ = (UniqueConstraint("domain", "window"),)


class LookRow(Base):
    """A look at exams that no look of the same kind, domain and scanner key has judged by; ``alpha`` is what it may spend."""

    __tablename__ = "look"

    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(24))
    domain: Mapped[str] = mapped_column(String(64))
    scanner_key: Mapped[str] = mapped_column(String(512))
    window: Mapped[str] = mapped_column(String(32))
    number: Mapped[int]
    alpha: Mapped[float]
    judged_until: Mapped[date]
    at: Mapped[datetime]

    __table_args__ = (
        UniqueConstraint("kind", "domain", "scanner_key", "number"),
        UniqueConstraint("kind", "domain", "scanner_key", "window"),
    )


class LookExamRow(Base):
    """An exam that a look's proposal was fitted to, or judged by."""

    __tablename__ = "look_exam"

    look_id: Mapped[int] = mapped_column(ForeignKey("look.id"), primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.study_id"), primary_key=True, index=True)
    judged: Mapped[bool] = mapped_column(primary_key=True)


class ProposalRow(Base):
    """A bank or operating points that want in. ``content_sha256`` is the digest of its folder's ``proposal.json``, which has those of
    all its files; ``plan_sha256`` that of the change plan it was judged under. ``release_id`` is the release that it becomes.
    """

    __tablename__ = "proposal"

    proposal_id: Mapped[str] = mapped_column(String(16), primary_key=True)
    kind: Mapped[str] = mapped_column(String(24))
    domain: Mapped[str] = mapped_column(String(64))
    scanner_key: Mapped[str] = mapped_column(String(512))
    window: Mapped[str] = mapped_column(String(32))
    look_id: Mapped[int | None] = mapped_column(ForeignKey("look.id"))
    parent_release: Mapped[str] = mapped_column(String(128))
    release_id: Mapped[str] = mapped_column(String(128), unique=True)
    content_sha256: Mapped[str] = mapped_column(String(64))
    plan_sha256: Mapped[str] = mapped_column(String(64))
    decision: Mapped[str] = mapped_column(Text)
    state: Mapped[ProposalState] = mapped_column(String(16), index=True)
    reason: Mapped[str] = mapped_column(Text, default="")
    proposer: Mapped[str] = mapped_column(String(64))
    proposed_at: Mapped[datetime]
    shadow_since: Mapped[datetime | None]
    approver: Mapped[str] = mapped_column(String(128), default="")
    approved_at: Mapped[datetime | None]
    promoted_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]

    __table_args__ = (UniqueConstraint("kind", "domain", "scanner_key", "window"),)


class ShadowExamRow(Base):
    """What a proposal in shadow says of an exam, beside what is in force; never shown."""

    __tablename__ = "shadow_exam"

    proposal_id: Mapped[str] = mapped_column(ForeignKey("proposal.proposal_id"), primary_key=True)
    study_id: Mapped[str] = mapped_column(ForeignKey("study.study_id"), primary_key=True)
    champion_positive: Mapped[bool]
    challenger_positive: Mapped[bool]
    scored_at: Mapped[datetime]


class WithheldRow(Base):
    """A domain whose results are kept and not shown, until a person lifts that."""

    __tablename__ = "withheld"

    id: Mapped[int] = mapped_column(primary_key=True)
    domain: Mapped[str] = mapped_column(String(64))
    since: Mapped[datetime]
    reason: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(64))
    lifted_at: Mapped[datetime | None]
    lifted_by: Mapped[str] = mapped_column(String(64), default="")

    __table_args__ = (
        Index(
            "uq_withheld_now",
            "domain",
            unique=True,
            sqlite_where=text("lifted_at IS NULL"),
            postgresql_where=text("lifted_at IS NULL"),
        ),
    )
