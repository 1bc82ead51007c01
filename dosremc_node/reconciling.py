"""Reconciliation: ask the PACS which mammography studies it has that the node has not, and list or fetch them.

What was never sent cannot otherwise be missed. When it is time is a row of the ledger; a worker does it as a workflow.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

import structlog

from dosremc_node.errors import NodeError
from dosremc_node.ledger import Ledger, reconciliation
from dosremc_node.ledger.reconciliation import MissingStudy
from dosremc_node.reception import FoundStudy, mammograms_of, mammography_of, move_study
from dosremc_node.settings import ReconciliationAction, Settings

_TRY_AGAIN = timedelta(minutes=15)

log = structlog.get_logger(__name__)


def ask(ledger: Ledger, settings: Settings, now: datetime) -> None:
    """Ask the PACS of the settings what it has, and enter what is missing here, or why it could not be asked."""
    wanted, interval = settings.reconciliation, timedelta(hours=settings.reconciliation.interval_hours)
    reconciliation.due(ledger, wanted.source, now)  # so that it has its row
    days = _days(settings, now)
    try:
        found = mammography_of(settings.destination(wanted.source), settings.node.ae_title, days)
        missing = _missing(ledger, settings, found)
    except NodeError as error:
        # Not known to the settings any more, unreachable, refusing: a person sees it, and it is tried again.
        reconciliation.keep_failure(ledger, wanted.source, str(error), now + min(interval, _TRY_AGAIN))
        log.warning("reconciliation_failed", source=wanted.source, reason=str(error))
        return
    window = (days[0], days[-1])
    reconciliation.keep_inventory(ledger, wanted.source, missing, studies=len(found), window=window, now=now, due_at=now + interval)
    log.info("reconciled", source=wanted.source, studies=len(found), missing=len(missing))


def _days(settings: Settings, now: datetime) -> Sequence[date]:
    """The days that are asked for, as the calendar on the wall has them: a study date is local."""
    last = now.astimezone().date() - timedelta(days=settings.reconciliation.skip_days)
    return [last - timedelta(days=back) for back in reversed(range(settings.reconciliation.days))]


def _missing(ledger: Ledger, settings: Settings, found: Sequence[FoundStudy]) -> list[MissingStudy]:
    here = reconciliation.images_here(ledger, [study.study_instance_uid for study in found])
    suspects = [study for study in found if study.images is None or study.images > here.get(study.study_instance_uid, 0)]
    compared = (_compared(ledger, settings, study, here.get(study.study_instance_uid, 0)) for study in suspects)
    return [study for study in compared if study.images_there is None or study.images_there > study.images_here]


def _compared(ledger: Ledger, settings: Settings, study: FoundStudy, here: int) -> MissingStudy:
    """A study that has more objects there, or may have: of these only the mammograms count, and not what we sent ourselves."""
    wanted, uid = settings.reconciliation, study.study_instance_uid
    peer = settings.destination(wanted.source)
    there = mammograms_of(peer, settings.node.ae_title, uid, reconciliation.our_series(ledger, uid))
    return MissingStudy(wanted.source, uid, study.study_date, there, here)


def fetch(ledger: Ledger, settings: Settings, now: datetime) -> None:
    """Have the PACS send what is missing, where the settings say so: as many studies as they allow, each at most as often."""
    wanted = settings.reconciliation
    if wanted.action is not ReconciliationAction.FETCH:
        return
    for _ in range(wanted.fetch_at_most):
        study = reconciliation.begin_fetch(ledger, wanted.source, wanted.fetch_attempts, now)
        if study is None:
            return
        failure = _fetch(settings, study)
        reconciliation.end_fetch(ledger, study, failure)
        log.info("missing_study_fetched", source=wanted.source, failure=failure)


def _fetch(settings: Settings, study: MissingStudy) -> str:
    """Why a study did not come, in words; empty where the PACS says that it sent all of it."""
    own = settings.node.ae_title
    try:
        states = list(move_study(settings.destination(study.source), own, own, study.study_instance_uid))
    except NodeError as error:
        return str(error)
    failed = states[-1].failed if states else 0
    return f"{failed} objects could not be sent" if failed else ""
