"""What became of a study: what the ledger says of it, and what the PACS answers when it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dosremc_node.cli.demo.exams import DemoStudy
from dosremc_node.delivery import found_on
from dosremc_node.ledger import Ledger, revisions
from dosremc_node.ledger.overview import ReportOverview, StudyOverview, assessments_of, find_study, list_reports, list_studies
from dosremc_node.ledger.states import StudyState
from dosremc_node.node import Node
from dosremc_node.records import Assessment, DocumentKind, Plan, StudyImage, StudyRevision
from dosremc_node.settings import Destination


@dataclass(frozen=True, slots=True)
class Outcome:
    """A study that was sent. ``on_pacs`` are those of ``reports`` that the PACS said it has."""

    study: DemoStudy
    overview: StudyOverview | None
    revision: StudyRevision | None
    assessment: Assessment | None
    reports: Sequence[ReportOverview]
    on_pacs: Sequence[ReportOverview]

    @property
    def reported(self) -> bool:
        """The PACS has the study's summary report, and everything that belongs to it."""
        return len(self.on_pacs) == len(self.reports) and any(report.kind == DocumentKind.SUMMARY for report in self.on_pacs)

    @property
    def milliseconds(self) -> float | None:
        """From the last image to the last document on the PACS; None where one is missing."""
        delivered = [report.delivered_at for report in self.reports if report.delivered_at]
        if self.overview is None or len(delivered) < max(1, len(self.reports)):
            return None
        return (max(delivered) - self.overview.last_received_at).total_seconds() * 1000

    @property
    def reason(self) -> str:
        """Why there is no score, or what is wrong; empty where all is well."""
        if self.overview is None:
            return "the node knows nothing of it"
        if not self.reported:
            return f"{self.overview.state}; {self.overview.reason or 'not on the PACS'}"
        return str(self.assessment.not_assessed or "") if self.assessment else ""

    @property
    def plan(self) -> Plan | None:
        return self.revision.plan if self.revision else None

    @property
    def release_id(self) -> str:
        return self.plan.release_id if self.plan else ""

    @property
    def images(self) -> Sequence[StudyImage]:
        return self.plan.images if self.plan else ()

    @property
    def shown(self) -> Assessment | None:
        """The assessment where its scores may be shown."""
        return self.assessment if self.assessment and self.assessment.shown else None


def settled(ledger: Ledger, studies: Sequence[DemoStudy]) -> int:
    """How many of the studies are done, or parked, with all their images."""
    images = {find_study(ledger, study.study_instance_uid): len(study.files) for study in studies}
    rows = list_studies(ledger, (StudyState.DONE, StudyState.PARKED))
    return sum(images.get(row.study_id) == row.images for row in rows)


def outcome_of(study: DemoStudy, node: Node, pacs: Destination) -> Outcome:
    """What became of ``study``. The PACS is asked by C-FIND what it has of it."""
    ledger = node.ledger
    study_id = find_study(ledger, study.study_instance_uid)
    overview = next((row for row in list_studies(ledger) if row.study_id == study_id), None)
    if study_id is None or overview is None or overview.revision is None:
        return Outcome(study, overview, None, None, (), ())
    reports = [report for report in list_reports(ledger, study_id) if report.revision == overview.revision]
    there = {found.sop_instance_uid for found in found_on(pacs, node.settings.node.ae_title, study.study_instance_uid)}
    return Outcome(
        study=study,
        overview=overview,
        revision=revisions.get_revision(ledger, study_id, overview.revision),
        assessment=assessments_of(ledger, study_id).get(overview.revision),
        reports=reports,
        on_pacs=[report for report in reports if report.sop_instance_uid in there],
    )
