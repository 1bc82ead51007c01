"""Most exams come into the ledger without being sent: planned, scored and judged by the node's own rules, but many at a time.

Their images are not kept, only what the network sees of them, as on a node whose retention has removed the images.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, time
from itertools import islice

import numpy as np

from dosremc_node import imaging, inference, studies
from dosremc_node.artifacts import ArtifactKind
from dosremc_node.cli.demo.recalibration.exams import SeenExam, SeenImage
from dosremc_node.inference import ScoredImage
from dosremc_node.ledger import audit
from dosremc_node.ledger.states import RevisionState, Standing
from dosremc_node.ledger.tables import InstanceRow, RevisionRow, StudyRow
from dosremc_node.network import import_backbone, put_bank
from dosremc_node.network.prediction import Network
from dosremc_node.network.scoring import logits
from dosremc_node.node import Node
from dosremc_node.recalibration.live_images import LiveImages
from dosremc_node.records import (
    Domain,
    ImageHeader,
    Laterality,
    NetworkInput,
    NetworkOutput,
    Plan,
    StudyId,
    StudyRevision,
    to_json,
)

_AT_ONCE = 100
_ACTOR = "demonstration"


def fill(node: Node, exams: Iterable[SeenExam]) -> int:
    """Enter exams as the node would have left them, scored by the release in force with the bank that is theirs; answers how many."""
    count, network = 0, None
    for part in _parts(exams):
        plans = [_plan(node, exam) for exam in part]
        network = network or _network(node, plans[0])
        inputs = [[imaging.decode_input(image.network_input) for image in exam.images] for exam in part]
        scored = _scored(network, [each for of_exam in inputs for each in of_exam])
        _enter(node, part, plans, inputs, scored)
        count += len(part)
    return count


def _parts(exams: Iterable[SeenExam]) -> Iterator[list[SeenExam]]:
    remaining = iter(exams)
    while part := list(islice(remaining, _AT_ONCE)):
        yield part


def _plan(node: Node, exam: SeenExam) -> Plan:
    images = [(place, image.sha256, image.header) for place, image in enumerate(exam.images)]
    return studies.make_plan(images, node.release_in_force().release, node.domains, node.settings.studies)


def _network(node: Node, plan: Plan) -> Network:
    """The network with the bank that the plan pins."""
    loaded, domain = node.shelf.load(plan.release_id), plan.domain or Domain("")
    network = import_backbone(loaded.backbone())
    put_bank(network, loaded.bank(domain), domain)
    return network


def _scored(network: Network, inputs: Sequence[NetworkInput]) -> Iterator[float]:
    names = {str(place): each for place, each in enumerate(inputs)}
    images = LiveImages([(name, Laterality.LEFT) for name in names], lambda name, _: names[name].pixels)
    return iter(logits(network, images).tolist())


def _enter(
    node: Node, part: Sequence[SeenExam], plans: Sequence[Plan], inputs: Sequence[Sequence[NetworkInput]], scored: Iterator[float]
) -> None:
    preprocessing = node.release_in_force().release.preprocessing_sha256
    for exam in part:
        for image in exam.images:
            node.store.put_derived(ArtifactKind.INPUT, f"{image.sha256}-{preprocessing}", image.network_input)
    with node.ledger.transaction() as session:
        told = audit.append(session, _ACTOR, "enter simulated exams", str(part[0].taken_on), {"exams": len(part)})
        for exam, plan, of_exam in zip(part, plans, inputs, strict=True):
            study = _study(exam)
            session.add(study)
            session.flush()
            session.add_all(_instance(study, image, told) for image in exam.images)
            session.add(_revision(study, exam, plan, of_exam, scored))


def _study(exam: SeenExam) -> StudyRow:
    who, at = exam.images[0].header.who, _noon(exam)
    return StudyRow(
        study_id=f"S-{secrets.token_hex(6)}",
        study_instance_uid=who.study_instance_uid,
        patient_id=who.patient_id,
        issuer_of_patient_id=who.issuer_of_patient_id,
        accession_number=who.accession_number,
        study_date=exam.taken_on,
        first_received_at=at,
        last_received_at=at,
    )


def _instance(study: StudyRow, image: SeenImage, told: int) -> InstanceRow:
    header: ImageHeader = image.header
    return InstanceRow(
        study_id=study.study_id,
        sop_instance_uid=header.sop_instance_uid,
        sop_class_uid=header.sop_class_uid,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        sha256=image.sha256,
        size=0,
        standing=Standing.PRIMARY,
        header=to_json(header),
        manufacturer=header.scanner.manufacturer,
        model=header.scanner.model,
        software_version=header.scanner.software_version,
        calling_ae_title="SIMULATED",
        peer_address="",
        received_at=study.first_received_at,
        removed_at=study.first_received_at,
        audit_sequence=told,
    )


def _revision(study: StudyRow, exam: SeenExam, plan: Plan, inputs: Sequence[NetworkInput], scored: Iterator[float]) -> RevisionRow:
    at = study.first_received_at
    revision = StudyRevision(StudyId(study.study_id), 1, None, exam.images[0].header.who, plan, at)
    nothing = np.zeros((1, 1), np.float32)
    outputs = {
        image.header.sop_instance_uid: ScoredImage(each, NetworkOutput(next(scored), nothing))
        for image, each in zip(exam.images, inputs, strict=True)
    }
    return RevisionRow(
        study_id=study.study_id,
        number=1,
        state=RevisionState.DONE,
        release_id=plan.release_id,
        domain=plan.domain or "",
        bank_sha256=plan.bank.sha256 if plan.bank else "",
        scanner_key=str(plan.scanner),
        threshold=plan.operating_point.threshold if plan.operating_point else None,
        plan=to_json(plan),
        assessment=to_json(inference.assess(revision, outputs)),
        opened_at=at,
        assessed_at=at,
        finished_at=at,
    )


def _noon(exam: SeenExam) -> datetime:
    return datetime.combine(exam.taken_on, time(12), UTC)
