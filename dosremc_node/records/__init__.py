"""The nouns of the node, as frozen typed values. Every room may import them; they import nothing of ours.

Rooms talk through functions that take and return these values. No DICOM data set, SQL row, tensor or session appears
here. All but arrays turn into JSON and back (`to_json`, `from_json`), which is how the ledger keeps them. The files go
the way of a mammogram: `images`, `studies`, `tensors`, `assessments`, `documents`; beside it stand `models` and `outcomes`.

Image coordinates are (column, row) in the *stored* image's pixels, with 0,0 at the upper left corner of the upper
left pixel, so that the centre of that pixel is 0.5,0.5 (DICOM PS3.3 C.18.6.1.2).
"""

from dosremc_node.records.assessments import Assessment, BreastScore, Finding, ImageNotAssessed, ImageScore
from dosremc_node.records.documents import (
    DEFAULT_DOCUMENTS,
    CommitmentReport,
    DeliveryOutcome,
    DeliveryResult,
    Document,
    DocumentFile,
    DocumentKind,
    FoundInstance,
    PredecessorDocument,
)
from dosremc_node.records.encoding import from_json, to_json
from dosremc_node.records.images import (
    ImageHeader,
    Laterality,
    NotAssessedReason,
    PatientAndStudy,
    PresentationIntent,
    ReceivedObject,
    ScannerKey,
    View,
)
from dosremc_node.records.models import BankId, Domain, OperatingPoint, PreprocessingSpec, Release
from dosremc_node.records.outcomes import LARGEST_WEIGHT, Diagnosis, LabelRules, LabelState, OutcomeReport, OutcomeStatus, Provenance
from dosremc_node.records.patients import PatientIdentifier, PatientMerge, PatientUpdate, are_two_women, differing
from dosremc_node.records.rejections import WITHDRAWN, RejectionNote, RejectionReason
from dosremc_node.records.studies import Plan, StudyId, StudyImage, StudyRevision, UnknownScannerPolicy
from dosremc_node.records.tensors import BatchNormMoments, InputGeometry, LayerMoments, NetworkInput, NetworkOutput, Picture, Point

__all__ = [
    "DEFAULT_DOCUMENTS",
    "LARGEST_WEIGHT",
    "WITHDRAWN",
    "Assessment",
    "BankId",
    "BatchNormMoments",
    "BreastScore",
    "CommitmentReport",
    "DeliveryOutcome",
    "DeliveryResult",
    "Diagnosis",
    "Document",
    "DocumentFile",
    "DocumentKind",
    "Domain",
    "Finding",
    "FoundInstance",
    "ImageHeader",
    "ImageNotAssessed",
    "ImageScore",
    "InputGeometry",
    "LabelRules",
    "LabelState",
    "Laterality",
    "LayerMoments",
    "NetworkInput",
    "NetworkOutput",
    "NotAssessedReason",
    "OperatingPoint",
    "OutcomeReport",
    "OutcomeStatus",
    "PatientAndStudy",
    "PatientIdentifier",
    "PatientMerge",
    "PatientUpdate",
    "Picture",
    "Plan",
    "Point",
    "PredecessorDocument",
    "PreprocessingSpec",
    "PresentationIntent",
    "Provenance",
    "ReceivedObject",
    "RejectionNote",
    "RejectionReason",
    "Release",
    "ScannerKey",
    "StudyId",
    "StudyImage",
    "StudyRevision",
    "UnknownScannerPolicy",
    "View",
    "are_two_women",
    "differing",
    "from_json",
    "to_json",
]
