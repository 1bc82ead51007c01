"""What the daemon does again and again with proposals that were made: nothing of it is lost when it is interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from dosremc_node.ledger import Ledger
from dosremc_node.recalibration.change_plan import ChangePlan
from dosremc_node.recalibration.guard import Watched, guard
from dosremc_node.recalibration.live_images import Read
from dosremc_node.recalibration.promotion import approve_automatically, resume
from dosremc_node.recalibration.proposing import site_of
from dosremc_node.recalibration.shadow import score_in_shadow
from dosremc_node.settings import Settings


def tend(ledger: Ledger, settings: Settings, plan: ChangePlan, read: Read, now: datetime) -> Sequence[Watched]:
    """Finish promotions that were interrupted, score in the shadow, promote what the plan lets pass by itself, and guard what is in service.

    Answers what is in service: nothing where the settings name no folder for releases, because then nothing can have been proposed.
    """
    if settings.releases.folder is None:
        return ()
    site = site_of(ledger, settings, plan)
    resume(site, now)
    watched = guard(ledger, settings, plan, now)
    score_in_shadow(site, read, now)
    approve_automatically(site, now)
    return watched
