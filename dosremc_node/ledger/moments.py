"""The batch norm moments of sampled images: what drift is told from, and where an adapted bank could start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import select

from dosremc_node.ledger.database import Ledger
from dosremc_node.ledger.revisions import Hold, held_row
from dosremc_node.ledger.tables import BatchNormMomentsRow, RevisionRow, fitting
from dosremc_node.records import BankId, BatchNormMoments, StudyId, from_json, to_json


def keep_moments(ledger: Ledger, hold: Hold, image_sha256: str, moments: BatchNormMoments) -> None:
    """Enter what was measured on one image of a revision, once; raises `StaleWriter`."""
    with ledger.transaction() as session:
        revision = held_row(session, hold)
        known = select(BatchNormMomentsRow.id).where(
            BatchNormMomentsRow.revision_id == revision.id, BatchNormMomentsRow.image_sha256 == image_sha256
        )
        if session.scalar(known) is None:
            row = BatchNormMomentsRow(
                revision_id=revision.id, image_sha256=image_sha256, moments=to_json(moments), measured_at=datetime.now(UTC)
            )
            session.add(row)


def moments_under(ledger: Ledger, bank: BankId) -> Sequence[tuple[str, BatchNormMoments]]:
    """What was measured while that bank scored, in the order of measuring, each with its scanner key."""
    query = (
        select(RevisionRow.scanner_key, BatchNormMomentsRow.moments)
        .join(RevisionRow, RevisionRow.id == BatchNormMomentsRow.revision_id)
        .where(RevisionRow.bank_sha256 == bank.sha256, RevisionRow.domain == bank.domain)
        .order_by(BatchNormMomentsRow.id)
    )
    with ledger.reading() as session:
        return [(scanner_key, from_json(BatchNormMoments, text)) for scanner_key, text in session.execute(query)]


@dataclass(frozen=True, slots=True)
class MeasuredImage:
    """The moments of one image of a study; ``number`` grows with each that is measured."""

    number: int
    study_id: StudyId
    moments: BatchNormMoments


def measured_images(ledger: Ledger, scanner_key: str, bank_sha256: str, after: int = 0) -> Sequence[MeasuredImage]:
    """What was measured of a scanner while that bank scored it, beyond number ``after``, in the order of measuring."""
    key = fitting(RevisionRow.scanner_key, scanner_key)
    query = (
        select(BatchNormMomentsRow.id, RevisionRow.study_id, BatchNormMomentsRow.moments)
        .join(RevisionRow, RevisionRow.id == BatchNormMomentsRow.revision_id)
        .where(RevisionRow.scanner_key == key, RevisionRow.bank_sha256 == bank_sha256, BatchNormMomentsRow.id > after)
        .order_by(BatchNormMomentsRow.id)
    )
    with ledger.reading() as session:
        return [MeasuredImage(number, StudyId(study), from_json(BatchNormMoments, text)) for number, study, text in session.execute(query)]
