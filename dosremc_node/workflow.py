"""The journey of a mammogram through the node, on one page.

::

    modality --C-STORE--> receive --> [due study] --> assess --> [due deliveries] --> deliver --C-STORE--> PACS

`receive` runs where the image arrives. `assess` and `deliver` are durable workflows of named steps, each a call to a room,
and run in a worker. What stands in brackets are rows of the ledger, which is the truth: the sweeper (`sweeper.py`) asks it
again and again what is due, and has that executed. So a crash at any moment leaves nothing behind but a due row.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import structlog

from dosremc_node import dispatch, inference, reconciling, reporting, studies
from dosremc_node.artifacts import ArtifactKind, content_key
from dosremc_node.engine import Workflows, step, workflow, workflows
from dosremc_node.errors import (
    ArtifactDamaged,
    ArtifactMissing,
    LedgerUnavailable,
    NodeStopping,
    NotAMammogram,
    NotDicom,
    StaleWriter,
    UndecodableImage,
)
from dosremc_node.failures import describe
from dosremc_node.imaging import ImagingWorkers
from dosremc_node.inference import ScoredImage
from dosremc_node.inputs import NetworkInputs
from dosremc_node.ledger import deliveries, moments, receiving, revisions, withdrawing
from dosremc_node.ledger.commitments import DueCommitment
from dosremc_node.ledger.deliveries import DueDelivery
from dosremc_node.ledger.receiving import Receipt
from dosremc_node.ledger.revisions import Hold
from dosremc_node.ledger.states import Standing
from dosremc_node.node import Node
from dosremc_node.records import (
    BankId,
    ImageScore,
    NetworkInput,
    NotAssessedReason,
    Picture,
    ReceivedObject,
    Release,
    StudyId,
    StudyImage,
    StudyRevision,
)

PICTURE_HEIGHT = 1280
"""About how many rows of the breast a picture is drawn from."""

log = structlog.get_logger(__name__)


# --- An image arrives -------------------------------------------------------------------------------------------------


def receive(node: Node, received: ReceivedObject) -> None:
    """Enter an object that lies safely on the disk. C-STORE answers Success once this returns (promise 1).

    What is no image, and our own documents coming back from the PACS, are let go again; of a rejection note the ledger keeps
    what it says. Raises `NotDicom`.
    """
    key = content_key(ArtifactKind.IMAGE, received.sha256)
    if _is_of_no_concern(node, received):
        node.store.remove(key)
        log.info("object_ignored", sha256=received.sha256[:12], calling_ae_title=received.calling_ae_title)
        return
    if studies.is_key_object(received.sop_class_uid):
        _receive_key_object(node, received, key)
        return
    with node.store.local(key) as path:
        header = studies.read_header(path)
    # What an object is, its data set says; where the C-STORE request calls it otherwise, images must not be mixed up.
    named = replace(received, sop_instance_uid=header.sop_instance_uid, sop_class_uid=header.sop_class_uid)
    due = partial(studies.due_at, settings=node.settings.studies)
    receipt = receiving.record_object(node.ledger, named, header, due)
    # Where retention removed it at the same moment, the sender tries again.
    if receipt in (Receipt.BACK, Receipt.TAKEN_BACK) and not node.store.exists(key):
        raise ArtifactMissing(key=key)
    log.info("image_received", sha256=received.sha256[:12], receipt=receipt, calling_ae_title=received.calling_ae_title)


def _is_of_no_concern(node: Node, received: ReceivedObject) -> bool:
    may_matter = studies.is_image(received.sop_class_uid) or studies.is_key_object(received.sop_class_uid)
    return not may_matter or receiving.is_our_document(node.ledger, received.sop_instance_uid)


def _receive_key_object(node: Node, received: ReceivedObject, key: str) -> None:
    with node.store.local(key) as path:
        note = studies.read_rejection_note(path)
    if note is None:
        log.info("object_ignored", sha256=received.sha256[:12], calling_ae_title=received.calling_ae_title)
    else:
        result = withdrawing.record_note(node.ledger, note, received, partial(studies.due_at, settings=node.settings.studies))
        images, further = result.withdrawn, result.kept_in_mind
        log.warning("rejection_note_received", reason=note.reason.name, withdrawn=images, further=further, sha256=received.sha256[:12])
    node.store.remove(key)


# --- What a worker does -----------------------------------------------------------------------------------------------


@workflows
class Journey(Workflows):
    """The workflows of a node. Their arguments are the ledger's ids; what they make lies among the artifacts and in rows."""

    def __init__(self, node: Node, workers: ImagingWorkers) -> None:
        super().__init__("journey")
        self.node = node
        self.workers = workers
        self.inputs = NetworkInputs(node.store)
        self.scores = inference.InferenceEngine(node.settings.worker.inference_threads, node.settings.worker.providers)

    def warm_up(self) -> None:
        """Build the sessions of the release in force, so that the first study need not wait for them."""
        loaded = self.node.release_in_force()
        for bank in loaded.release.banks.values():
            self.scores.session(loaded, bank)

    # --- Assess: from images to documents -----------------------------------------------------------------------------

    @workflow
    def assess(self, study_id: str, number: int) -> None:
        """Score a revision and render its documents, or park it with the reason."""
        # Not a step: every execution, a recovered one too, gets an epoch of its own, which shuts out the one before.
        hold = revisions.take_in_hand(self.node.ledger, StudyId(study_id), number, self.node.settings.worker.attempts)
        if hold is None:
            return
        try:
            unreadable = self.prepare(study_id, number)
            self.score(study_id, number, hold.epoch, unreadable)
            self.render(study_id, number, hold.epoch)
            self._measure(hold, unreadable)
        except (StaleWriter, NodeStopping, LedgerUnavailable) as error:
            log.warning("assessment_dropped", study=study_id, revision=number, reason=describe(error))
        except Exception as error:  # noqa: BLE001 - the boundary: whatever cannot go on is parked, never lost
            log.error(  # noqa: TRY400 - a traceback could quote a patient
                "assessment_parked", study=study_id, revision=number, reason=describe(error)
            )
            revisions.park_revision(self.node.ledger, hold, describe(error))

    @step
    def prepare(self, study_id: str, number: int) -> dict[str, str]:
        """Pixels become network inputs, several images at a time; answers which images have none, and why."""
        revision = revisions.get_revision(self.node.ledger, StudyId(study_id), number)
        with ThreadPoolExecutor(self.node.settings.worker.decoding_processes) as threads:
            reasons = threads.map(partial(self._why_unreadable, revision), revision.to_score)
        return {str(image.instance_id): reason.name for image, reason in zip(revision.to_score, reasons, strict=True) if reason}

    @step
    def score(self, study_id: str, number: int, epoch: int, unreadable: dict[str, str]) -> None:
        """The pinned bank scores every image; views become breasts, breasts the exam."""
        revision = revisions.get_revision(self.node.ledger, StudyId(study_id), number)
        bank, outputs = revision.plan.bank, {}
        if bank is not None:
            outputs = {image.header.sop_instance_uid: self._output(revision, bank, image, unreadable) for image in revision.to_score}
        assessment = inference.assess(revision, outputs)
        revisions.keep_assessment(self.node.ledger, Hold(revision.study_id, number, epoch), assessment)

    @step
    def render(self, study_id: str, number: int, epoch: int) -> None:
        """The assessment becomes documents, whose bytes are kept before the first send; deliveries are due from here on."""
        node = self.node
        revision = revisions.get_revision(node.ledger, StudyId(study_id), number)
        assessment = revisions.get_assessment(node.ledger, revision.study_id, number)
        release = node.shelf.load(revision.plan.release_id).release
        with ExitStack() as open_files:
            there = filter(self._is_needed_or_there, revision.plan.images)
            headers = {image.header.sop_instance_uid: open_files.enter_context(self._local(image)) for image in there}
            predecessors = revisions.predecessor_documents(node.ledger, revision)
            documents = reporting.render(
                revision,
                assessment,
                release,
                node.settings.node.name,
                headers,
                kinds=node.settings.documents,
                predecessors=predecessors,
                pictures=partial(self._picture_if_any, revision, release),
            )
        kept = [(document, node.store.put(ArtifactKind.DOCUMENT, document.content)) for document in documents]
        destinations = [(each.name, each.documents) for each in node.settings.destinations]
        revisions.keep_documents(node.ledger, Hold(revision.study_id, number, epoch), kept, destinations)
        log.info("study_assessed", study=study_id, revision=number, domain=revision.plan.domain, documents=len(kept))

    def _measure(self, hold: Hold, unreadable: Mapping[str, str]) -> None:
        """Measure a sample of the images before each batch norm, for drift, once the documents are on their way.

        Not a step: what a crash takes from a sample is not missed.
        """
        revision = revisions.get_revision(self.node.ledger, hold.study_id, hold.number)
        share, bank = self.node.settings.worker.moments_share, revision.plan.bank
        sample = [image for image in revision.to_score if inference.is_sampled(image.sha256, share)]
        try:
            for image in sample:
                if bank and str(image.instance_id) not in unreadable:
                    release = self.node.shelf.load(revision.plan.release_id)
                    measured = self.scores.moments(release, bank, self._network_input(revision, image))
                    moments.keep_moments(self.node.ledger, hold, image.sha256, measured)
        except Exception as error:  # noqa: BLE001 - the boundary: a measurement that fails must not cost a report
            log.warning("image_not_measured", study=hold.study_id, revision=hold.number, reason=describe(error))

    def _why_unreadable(self, revision: StudyRevision, image: StudyImage) -> NotAssessedReason | None:
        """Why the image has no network input, once it was tried to make one; None where it has."""
        try:
            self._network_input(revision, image)
        except (UndecodableImage, NotDicom) as error:
            log.warning("image_unreadable", study=revision.study_id, image=image.name, reason=str(error))
            return NotAssessedReason.UNREADABLE
        except NotAMammogram as error:
            log.info("image_without_breast", study=revision.study_id, image=image.name, reason=str(error))
            return NotAssessedReason.NO_BREAST
        return None

    def _network_input(self, revision: StudyRevision, image: StudyImage) -> NetworkInput:
        release = self.node.shelf.load(revision.plan.release_id).release
        return self.inputs.get(release, image.sha256, image.header.laterality, self.workers)

    def _output(
        self, revision: StudyRevision, bank: BankId, image: StudyImage, unreadable: Mapping[str, str]
    ) -> ScoredImage | NotAssessedReason:
        if reason := unreadable.get(str(image.instance_id)):
            return NotAssessedReason[reason]
        network_input = self._network_input(revision, image)
        output = self.scores.score(self.node.shelf.load(revision.plan.release_id), bank, network_input)
        saliency_key = self.node.store.put(ArtifactKind.SALIENCY, inference.encode_saliency(output.saliency))
        return ScoredImage(network_input, output, saliency_key)

    def _picture_if_any(self, revision: StudyRevision, release: Release, score: ImageScore) -> Picture | None:
        """None where an image was scored and cannot be prepared again in more pixels: its capture is missing, the other documents are not."""
        try:
            return self._picture(revision, release, score)
        except (ArtifactDamaged, ArtifactMissing, NotAMammogram, NotDicom, UndecodableImage) as error:
            log.warning("capture_missing", study=revision.study_id, revision=revision.number, reason=str(error))
            return None

    def _picture(self, revision: StudyRevision, release: Release, score: ImageScore) -> Picture:
        """The image as the network saw it, in more pixels; of the same shape, so that the saliency map fits it."""
        image = next(each for each in revision.to_score if each.header.sop_instance_uid == score.sop_instance_uid)
        seen = release.preprocessing
        larger = max(1, round(PICTURE_HEIGHT / seen.height))
        spec = replace(seen, height=larger * seen.height, width=larger * seen.width)
        with self._local(image) as path:
            prepared = self.workers.prepare(path, spec, score.laterality)
        return Picture(prepared, inference.decode_saliency(self.node.store.read(score.saliency_key)))

    def _is_needed_or_there(self, image: StudyImage) -> bool:
        """Not so where an image was removed, or is lost, that was never to be scored: a report can do without its header."""
        return image.not_assessed is None or self.node.store.exists(content_key(ArtifactKind.IMAGE, image.sha256))

    def _local(self, image: StudyImage) -> AbstractContextManager[Path]:
        return self.node.store.local(content_key(ArtifactKind.IMAGE, image.sha256))

    # --- Deliver: from documents to the PACS --------------------------------------------------------------------------

    @workflow
    def deliver(self, study_id: str, number: int, destination: str, drive: int, attempts: int) -> None:
        """Send a revision's documents to one destination; its answers decide what follows (promise 2)."""
        self.send(study_id, number, destination, drive, attempts)

    @step
    def send(self, study_id: str, number: int, destination: str, drive: int, attempts: int) -> None:
        """One association; every status is read and entered. A step that is repeated after a crash sends the same bytes."""
        due = DueDelivery(StudyId(study_id), number, destination, drive, attempts)
        documents = deliveries.documents_to_send(self.node.ledger, due)
        if not documents:  # all entered before a crash, or by another process
            return
        results, now = dispatch.answers(self.node, due, documents), datetime.now(UTC)
        settings = self.node.settings
        by = dispatch.commit_by(settings, destination, now)
        deliveries.keep_results(self.node.ledger, due, results, partial(dispatch.next_try, settings, destination), now, commit_by=by)
        for result in results:
            log.info(
                "document_sent", study=study_id, revision=number, destination=destination, outcome=result.outcome, status=result.status
            )

    @workflow
    def commit(self, study_id: str, number: int, destination: str, asked: int) -> None:
        """Ask a destination to commit to what it stored of a revision; it may report days later, to whoever listens then."""
        self.ask(study_id, number, destination, asked)

    @step
    def ask(self, study_id: str, number: int, destination: str, asked: int) -> None:
        """One request (N-ACTION). Repeated after a crash it does nothing, and the row is due again."""
        dispatch.ask_commitment(self.node, DueCommitment(StudyId(study_id), number, destination, asked))

    # --- Compare: the same UID came again with other bytes ------------------------------------------------------------

    @workflow
    def compare(self, instance_id: int) -> None:
        """Tell a recompressed or corrected copy (a variant) from another image under the same UID (quarantined, promise 4)."""
        self.settle(instance_id)

    @step
    def settle(self, instance_id: int) -> None:
        """Compare the decoded pixels; what cannot be compared is quarantined, because it may be another image."""
        pair = receiving.contender_and_primary(self.node.ledger, instance_id)
        if pair is None:
            return
        try:
            same = len({self._pixels(sha256) for sha256 in pair}) == 1
        except (UndecodableImage, NotDicom, ArtifactMissing):
            same = False
        standing = Standing.VARIANT if same else Standing.QUARANTINED
        receiving.settle_contender(self.node.ledger, instance_id, standing)
        log.warning("same_uid_again", sha256=pair[0][:12], standing=standing)

    def _pixels(self, sha256: str) -> str:
        with self.node.store.local(content_key(ArtifactKind.IMAGE, sha256)) as path:
            return self.workers.pixel_digest(path)

    # --- Reconcile: what was never sent --------------------------------------------------------------------------------

    @workflow
    def reconcile(self) -> None:
        """Ask the PACS of the settings what it has that the node has not, and fetch it where they say so."""
        self.take_inventory()
        self.fetch_missing()

    @step
    def take_inventory(self) -> None:
        """What is missing, or why the PACS could not be asked, is in the ledger; and when it is asked next."""
        reconciling.ask(self.node.ledger, self.node.settings, datetime.now(UTC))

    @step
    def fetch_missing(self) -> None:
        """What is missing comes in by the same door as everything, as far as the PACS sends it."""
        reconciling.fetch(self.node.ledger, self.node.settings, datetime.now(UTC))
