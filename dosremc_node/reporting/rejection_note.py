"""The rejection note: our own superseded documents are not to be used any more (key object, TID 2010; IHE RAD TF-2 4.66, profile IOCM).

Predecessor Documents (0040,A360) tell a reader of the later report what it replaces; few viewers look there, and some show the earlier
report beside it for good. A note tells the archive, which then leaves it out of what it shows.

Of the four titles it is 113001, Rejected for Quality Reasons. The others would say more than is so: 113037 that somebody could come to harm
by the document, 113038 that it is another woman's, 113039 that it may be deleted, and a superseded report is the record of what a
radiologist had before her. It is the one title of which an archive may let its users see the rejected documents on demand. That what is
wrong is their age is said by the modifier of the title; CID 7011, which it is taken from, knows faults of images only and is extensible.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Final

import pydicom
from highdicom.ko import KeyObjectSelection
from highdicom.sr import CodeContentItem, ObserverContext, RelationshipTypeValues
from pydicom.dataset import Dataset
from pydicom.uid import KeyObjectSelectionDocumentStorage, SecondaryCaptureImageStorage, SegmentationStorage

from dosremc_node.records import Document, DocumentKind, NotAssessedReason, Plan, PredecessorDocument
from dosremc_node.reporting import codes, wording
from dosremc_node.reporting.content_items import device_observer
from dosremc_node.reporting.document import Case, Draft, document_references, finish
from dosremc_node.reporting.identity import derived_uid
from dosremc_node.reporting.rendition import as_instance

SOP_CLASS_UID: Final = str(KeyObjectSelectionDocumentStorage)
_IMAGES: Final = frozenset({SecondaryCaptureImageStorage, SegmentationStorage})
_REFERENCES: Final = ("IMAGE", "COMPOSITE")


def rejection_note(case: Case) -> Sequence[Document]:
    """The note that rejects all documents of the revision before; none where there are none, or where the new report sends its reader to them."""
    if not case.predecessors or _points_back(case.revision.plan):
        return []
    content = _content(case)
    content.CurrentRequestedProcedureEvidenceSequence = document_references(case.predecessors)
    content.ReferencedPerformedProcedureStepSequence = []
    kind = DocumentKind.REJECTION_NOTE
    return [finish(case, Draft(kind, wording.REJECTION_DESCRIPTION, content, place=0, sop_class_uid=SOP_CLASS_UID, modality="KO"))]


def _points_back(plan: Plan) -> bool:
    """Whether the study could only be assessed as it was before. Where images were withdrawn, what was said of them must go all the same."""
    return plan.not_assessed is NotAssessedReason.IMAGES_REMOVED and not plan.withdrawn


def naming(note: Document, rejected: Sequence[PredecessorDocument]) -> Document:
    """``note`` for a destination that holds ``rejected``: these and nothing else are named.

    An archive may refuse a note as a whole that names what it has not got. Where it names these already, it is the same
    note; else another instance, whose UIDs follow from the note's and from what it names (promise 4).
    """
    dataset = pydicom.dcmread(BytesIO(note.content))
    named = {each.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for each in dataset.ContentSequence if each.ValueType in _REFERENCES}
    uids = [each.sop_instance_uid for each in rejected]
    if named == set(uids):
        return note
    others = [each for each in dataset.ContentSequence if each.ValueType not in _REFERENCES]
    dataset.ContentSequence = [*others, *(each for each in _selection(rejected)[0].ContentSequence if each.ValueType in _REFERENCES)]
    dataset.CurrentRequestedProcedureEvidenceSequence = document_references(rejected)
    uid, series_uid = (derived_uid(f"rejection {what}", note.sop_instance_uid, *uids) for what in ("instance", "series"))
    return as_instance(note, dataset, note.sop_class_uid, uid, series_uid)


def _content(case: Case) -> Dataset:
    modifier = CodeContentItem(codes.TITLE_MODIFIER, codes.SUPERSEDED, RelationshipTypeValues.HAS_CONCEPT_MOD)
    content = _selection(case.predecessors, device_observer(case), wording.rejection(case.revision))[0]
    content.ContinuityOfContent = "SEPARATE"
    content.ContentSequence.insert(0, modifier)
    return content


def _selection(
    rejected: Sequence[PredecessorDocument], observer: ObserverContext | None = None, description: str | None = None
) -> KeyObjectSelection:
    """The tree; its references have no name, as TID 2010 has it, though highdicom gives them one."""
    objects = [_object(each) for each in rejected]
    selection = KeyObjectSelection(codes.REJECTED, objects, observer_device_context=observer, description=description)
    for item in selection[0].ContentSequence:
        if item.ValueType in _REFERENCES:
            del item.ConceptNameCodeSequence
    return selection


def _object(document: PredecessorDocument) -> Dataset:
    """What highdicom needs to know: with rows and columns it refers to an image, else to a composite object."""
    item = Dataset()
    item.SOPClassUID, item.SOPInstanceUID = document.sop_class_uid, document.sop_instance_uid
    if document.sop_class_uid in _IMAGES:
        item.Rows = item.Columns = 1
    return item
