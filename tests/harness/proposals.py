"""A site with the shipped release in force, women in its ledger, and changes of one of its domains that the gate may be asked about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np

import dosremc_node.releases
from dosremc_node.ledger import open_ledger
from dosremc_node.ledger.exams import AssessedExam
from dosremc_node.ledger.looks import Family, Look, take_look
from dosremc_node.ledger.proposals import Proposal
from dosremc_node.ledger.releases import put_in_force
from dosremc_node.recalibration.bounds import Change
from dosremc_node.recalibration.change_plan import ChangeKind, ChangePlan
from dosremc_node.recalibration.comparison import HeldOut
from dosremc_node.recalibration.gate import Decision
from dosremc_node.recalibration.proposing import Evidence, Site, propose
from dosremc_node.recalibration.scores import Scores
from dosremc_node.records import Domain, OperatingPoint, StudyId
from dosremc_node.releases import ReleaseShelf
from dosremc_node.releases.shelf import LoadedRelease
from dosremc_node.settings import SHIPPED_RELEASE
from harness.exams import DOMAIN, KEY, NOW
from harness.ledger import enter_exams

PROPOSER = "node"
APPROVER = "Dr A. Physicist"
PASSED = Decision(ChangeKind.FINE_TUNING, passed=True, rule="better on later exams", numbers={"upper": -0.01})


def site(folder: Path, plan: ChangePlan | None = None) -> Site:
    """A new ledger with the shipped release in force, and an empty folder for further ones."""
    ledger = open_ledger(f"sqlite:///{folder}/ledger.sqlite")
    put_in_force(ledger, SHIPPED_RELEASE, "the test")
    return reopened(folder, ledger_url=f"sqlite:///{folder}/ledger.sqlite", plan=plan)


def reopened(folder: Path, *, ledger_url: str, plan: ChangePlan | None = None) -> Site:
    """The same site, as another process sees it."""
    shelf = ReleaseShelf([Path(dosremc_node.releases.__file__).parent, folder / "releases"])
    return Site(open_ledger(ledger_url), shelf, folder / "releases", plan or ChangePlan())


def parent(of: Site, release_id: str = SHIPPED_RELEASE) -> LoadedRelease:
    return of.shelf.load(release_id)


def tuned(of: Site, shift: float = 0.05, *, release_id: str = SHIPPED_RELEASE, domain: Domain = DOMAIN) -> Change:
    """The domain's bank with the last layer's bias moved, and the operating point that the domain has."""
    loaded = parent(of, release_id)
    bank = dict(loaded.bank(domain))
    bank["fc.bias"] = bank["fc.bias"] + np.float32(shift)
    points = {str(domain): loaded.release.operating_points[domain]}
    return Change(ChangeKind.FINE_TUNING, domain, "", loaded, points, bank, domain)


def recalibrated(of: Site, intercept: float = 0.5, *, release_id: str = SHIPPED_RELEASE) -> Change:
    """One scanner's intercept moved."""
    loaded = parent(of, release_id)
    point = loaded.release.operating_points[DOMAIN]
    moved = replace(point, intercept=point.intercept + intercept)
    return Change(ChangeKind.CALIBRATION, DOMAIN, KEY, loaded, {KEY: moved}, None, DOMAIN)


def proposed(
    of: Site,
    change: Change | None = None,
    decision: Decision = PASSED,
    *,
    window: str = "2026-03",
    look: Look | None = None,
    share: float = 0.2,
) -> Proposal:
    """A proposal whose gate said ``decision``."""
    evidence = Evidence({}, {"fitted_events": 120.0}, expected_share=share)
    return propose(of, change or tuned(of), decision, evidence, window=window, look=look, proposer=PROPOSER, now=NOW)


def look(of: Site, fitted: Sequence[StudyId], judged: Sequence[StudyId], *, window: str = "2026-03", alpha: float = 0.002) -> Look:
    return take_look(
        of.ledger,
        Family("fine-tuning", DOMAIN),
        window,
        fitted=fitted,
        judged=judged,
        judged_until=date(2026, 3, 9),
        alpha=alpha,
        budget=0.05,
        since=None,
        now=NOW,
    )


# --- Exams ------------------------------------------------------------------------------------------------------------


def enter(of: Site, exams: Sequence[AssessedExam]) -> list[StudyId]:
    enter_exams(of.ledger, exams)
    return [each.study_id for each in exams]


# --- Scores -----------------------------------------------------------------------------------------------------------


def held_out(
    random: np.random.Generator, *, exams: int = 2000, events: int = 200, champion: float = 0.0, challenger: float = 0.0, shift: float = 0.0
) -> HeldOut:
    """Four images an exam. Malignant ones score higher by 2; ``champion`` and ``challenger`` add noise, ``shift`` the champion's
    miscalibration, in logits.
    """
    malignant = np.repeat(np.arange(exams) < events, 4)
    truth = np.log(events / (exams - events)) - 2.0 + 4.0 * malignant * random.random(4 * exams) + random.normal(size=4 * exams)
    base = Scores(
        exams=np.repeat(np.arange(exams), 4),
        logits=truth,
        malignant=malignant,
        known=np.ones(4 * exams, bool),
        dates=np.zeros(4 * exams, "datetime64[D]"),
        weights=np.ones(4 * exams),
    )
    noisy = [
        replace(base, logits=truth + noise * random.normal(size=4 * exams) + moved)
        for noise, moved in ((champion, shift), (challenger, 0.0))
    ]
    point = OperatingPoint(0.3)
    return HeldOut(noisy[0], noisy[1], point, point)
