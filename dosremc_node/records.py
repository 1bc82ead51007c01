"""The nouns of the node, as frozen typed values. Every room may import them; they import nothing of ours.

Rooms talk through functions that take and return these values. No DICOM data set, SQL row, tensor or session appears
here. All of them turn into JSON and back (`to_json`, `from_json`), which is how the ledger keeps them.

Image coordinates are (column, row) in the *stored* image's pixels, with 0,0 at the upper left corner of the upper
left pixel, so that the centre of that pixel is 0.5,0.5 (DICOM PS3.3 C.18.6.1.2).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, NewType, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

Domain = NewType("Domain", str)
"""The name of a group of scanners that share a bank, such as ``hologic``."""

StudyId = NewType("StudyId", str)
"""The ledger's own name of a study (``S-`` and 12 letters or digits). It is safe in logs: it says nothing of a patient."""

T = TypeVar("T")
Point = tuple[float, float]


_adapters: dict[type[Any], TypeAdapter[Any]] = {}


def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    # Built once for each kind: building one takes a hundred times as long as using it.
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def to_json(value: object) -> str:
    """Encode any record as JSON text."""
    return _adapter(type(value)).dump_json(value).decode()


def from_json(kind: type[T], text: str) -> T:
    """Decode a record of type ``kind`` from JSON text; raises ``pydantic.ValidationError`` where the text does not fit."""
    value: T = _adapter(kind).validate_json(text)
    return value


# --- What an image is -------------------------------------------------------------------------------------------------


class Laterality(StrEnum):
    """The side of the breast (Image Laterality (0020,0062))."""

    LEFT = "L"
    RIGHT = "R"

    @property
    def word(self) -> str:
        return "left" if self is Laterality.LEFT else "right"


class View(StrEnum):
    """The mammographic view (View Code Sequence (0054,0220), DICOM CID 4014)."""

    CC = "CC"
    MLO = "MLO"
    ML = "ML"
    LM = "LM"
    LMO = "LMO"
    XCCL = "XCCL"
    XCCM = "XCCM"
    FB = "FB"
    SIO = "SIO"
    ISO = "ISO"
    CV = "CV"
    AT = "AT"


class PresentationIntent(StrEnum):
    """Presentation Intent Type (0008,0068)."""

    FOR_PRESENTATION = "FOR PRESENTATION"
    FOR_PROCESSING = "FOR PROCESSING"


@dataclass(frozen=True, slots=True, order=True)
class ScannerKey:
    """What made an image: calibration and thresholds hang on all three (empty text where the header has none)."""

    manufacturer: str
    model: str
    software_version: str

    def __str__(self) -> str:
        return " / ".join(part or "unknown" for part in (self.manufacturer, self.model, self.software_version))


class NotAssessedReason(StrEnum):
    """Why an image, or a whole study, was not scored. The value is the sentence that a report prints."""

    NO_IMAGES = "The study contains no mammographic image that can be assessed."
    NOT_MAMMOGRAPHY = "Not a mammographic image."
    FOR_PROCESSING = "For Processing image: this release expects images For Presentation."
    SAME_EXPOSURE = "For Processing image of an exposure whose For Presentation image is assessed."
    TOMOSYNTHESIS = "Tomosynthesis or breast projection image: not supported by this release."
    SYNTHETIC = "Synthetic image made from tomosynthesis."
    MAGNIFICATION = "Magnification view: not a screening view."
    SPOT = "Spot compression view: not a screening view."
    IMPLANT_DISPLACED = "Implant displaced view: not a screening view."
    STEREOTACTIC = "Stereotactic or biopsy image: not a screening view."
    SPECIMEN = "Specimen image: not a screening view."
    SMALL_FIELD = "The field of view is too small for a screening view."
    QUALITY_CONTROL = "Quality control image, not a breast."
    OTHER_VIEW = "A view other than CC or MLO: not a screening view."
    UNKNOWN_VIEW = "The view cannot be told from the header."
    UNKNOWN_LATERALITY = "The side cannot be told from the header."
    MULTI_FRAME = "Image with several frames: not supported by this release."
    TEXT_PAGE = "The image holds text or no breast."
    UNREADABLE = "The pixel data cannot be decoded."
    UNKNOWN_SCANNER = "The scanner belongs to no domain of this release."
    MIXED_DOMAINS = "The study's images come from scanners of different domains."


@dataclass(frozen=True, slots=True)
class PatientAndStudy:
    """What identifies the woman and her examination. It lives in the ledger only, never in a log, metric or error."""

    study_instance_uid: str
    patient_id: str = ""
    issuer_of_patient_id: str = ""
    accession_number: str = ""
    study_date: date | None = None


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header of one received object says, read once at reception.

    ``not_assessed`` is the reason why the header alone rules the image out, or None where it may be assessed.
    """

    who: PatientAndStudy
    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    modality: str
    scanner: ScannerKey
    laterality: Laterality | None = None
    view: View | None = None
    view_modifiers: tuple[str, ...] = ()
    intent: PresentationIntent | None = None
    image_type: tuple[str, ...] = ()
    rows: int = 0
    columns: int = 0
    frames: int = 1
    source_image_uids: tuple[str, ...] = ()
    acquired: str = ""
    """Acquisition Date and Time as the header has them: pairs the two images of one exposure."""
    not_assessed: NotAssessedReason | None = None


@dataclass(frozen=True, slots=True)
class ReceivedObject:
    """An object that lies safely in the artifact store: what reception knows without reading the data set."""

    sha256: str
    size: int
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str
    peer_address: str
    received_at: datetime


# --- Releases and banks -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BankId:
    """A domain's bank, by content: ``sha256`` of its safetensors file."""

    domain: Domain
    sha256: str

    def __str__(self) -> str:
        return f"{self.domain}@{self.sha256[:12]}"


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A calibrated threshold with its target.

    The network's logit z becomes the probability sigmoid(slope * z + intercept); an image is positive where that is at
    or above ``threshold``. ``target`` says in words what the threshold was chosen for.
    """

    threshold: float
    slope: float = 1.0
    intercept: float = 0.0
    target: str = ""


@dataclass(frozen=True, slots=True)
class PreprocessingSpec:
    """How pixels become a network input: written in the release's manifest and hashed, because a model is only as
    good as the agreement between the pixels it learnt from and those it is served.

    ``height`` and ``width`` are the network's input in pixels. ``crop`` names the rule for the region of interest,
    ``grey_scale`` the rule for the grey values, ``normalisation`` what happens to them last.
    """

    height: int
    width: int
    grey_scale: str
    crop: str
    normalisation: str
    chest_wall: str = "left"
    version: int = 1

    @property
    def sha256(self) -> str:
        """The digest that binds releases and kept network inputs to the preprocessing they were made with."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Release:
    """A backbone with all its banks and operating points: what the manifest ``release.json`` says.

    ``operating_points`` go by scanner key (``str(ScannerKey)``) and, where a key has none of its own, by domain.
    """

    release_id: str
    parent: str | None
    filters_sha256: str
    backbone_sha256: str
    preprocessing: PreprocessingSpec
    preprocessing_sha256: str
    banks: dict[Domain, BankId]
    operating_points: dict[str, OperatingPoint]
    device_uid: str
    created: datetime
    approver: str
    demonstration: bool
    statement: str
    """One sentence that every report repeats, such as what the weights may not be used for."""
    algorithm_name: str = "DoSReMC"
    manufacturer: str = "DoSReMC node"
    allows_tf32: bool = False
    """A GPU may round to TF32 (10 bits of mantissa): the release was proven with it."""


class UnknownScannerPolicy(StrEnum):
    """What happens to a study whose scanner belongs to no domain (promise 8)."""

    REFUSE = "refuse"
    SHADOW = "shadow"
    NEAREST = "nearest"


# --- A study as it goes through the rooms -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StudyImage:
    """One image of a revision, with why it is not assessed (None where it is)."""

    instance_id: int
    sha256: str
    header: ImageHeader
    not_assessed: NotAssessedReason | None

    @property
    def name(self) -> str:
        """Side and view, such as ``L CC``: says nothing of the patient."""
        return f"{self.header.laterality or '?'} {self.header.view or 'unknown view'}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What ``studies`` decides before a revision is opened: which images, which domain, which model state, shown or not.

    ``bank`` is None where nothing may be scored; then ``not_assessed`` says why. With the policy ``shadow`` the bank is
    there and ``not_assessed`` too: it is scored, kept, and not shown.
    """

    images: tuple[StudyImage, ...]
    scanner: ScannerKey | None
    domain: Domain | None
    release_id: str
    bank: BankId | None
    operating_point: OperatingPoint | None
    not_assessed: NotAssessedReason | None
    nearest: bool = False
    """The scanner is unknown and the nearest bank was taken: the report says so."""


@dataclass(frozen=True, slots=True)
class StudyRevision:
    """A study as it stood when it was complete, with everything pinned that its report will depend on."""

    study_id: StudyId
    number: int
    predecessor: int | None
    who: PatientAndStudy
    plan: Plan
    opened_at: datetime

    @property
    def key(self) -> str:
        """Short, unique, and free of identifiers: what the engine and the logs call this revision."""
        return f"{self.study_id}:{self.number}"

    @property
    def to_score(self) -> tuple[StudyImage, ...]:
        """The images the network sees; none where no bank was pinned."""
        if self.plan.bank is None:
            return ()
        return tuple(image for image in self.plan.images if image.not_assessed is None)


@dataclass(frozen=True, slots=True)
class InputGeometry:
    """The affine map from network input to stored image, both in continuous pixel coordinates (column, row):
    ``column = a x + b y + c`` and ``row = d x + e y + f``.
    """

    a: float
    b: float
    c: float
    d: float
    e: float
    f: float

    def to_image(self, point: Point) -> Point:
        x, y = point
        return (self.a * x + self.b * y + self.c, self.d * x + self.e * y + self.f)

    def to_network(self, point: Point) -> Point:
        column, row = point[0] - self.c, point[1] - self.f
        determinant = self.a * self.e - self.b * self.d
        return ((self.e * column - self.b * row) / determinant, (self.a * row - self.d * column) / determinant)


@dataclass(frozen=True, slots=True, eq=False)
class NetworkInput:
    """An image as the network sees it.

    ``pixels`` is float32 of shape (height, width), ``breast`` bool of the same shape: where the breast is. ``geometry``
    leads back to the stored image, whose size in pixels is ``rows`` x ``columns``.
    """

    pixels: NDArray[np.float32]
    breast: NDArray[np.bool_]
    geometry: InputGeometry
    rows: int
    columns: int


@dataclass(frozen=True, slots=True, eq=False)
class NetworkOutput:
    """What the network says of one input: the logit of malignancy and a saliency map, float32 in 0..1, shape (h, w)."""

    logit: float
    saliency: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class LayerMoments:
    """What goes into one batch norm, by channel: mean and variance of ``count`` values each."""

    count: int
    mean: tuple[float, ...]
    variance: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class BatchNormMoments:
    """The moments of one image before each batch norm, by the layer's name in the bank, such as ``stages.0.norm1``.

    They stand beside the bank's ``running_mean`` and ``running_var``.
    """

    layers: dict[str, LayerMoments]


@dataclass(frozen=True, slots=True)
class Finding:
    """A region that drove a score: a closed outline in image coordinates, and the probability it carries (0..1)."""

    outline: tuple[Point, ...]
    centre: Point
    probability: float


@dataclass(frozen=True, slots=True)
class ImageScore:
    """What the model says of one image. ``saliency_key`` names the saliency map among the artifacts."""

    sop_instance_uid: str
    laterality: Laterality
    view: View
    logit: float
    probability: float
    positive: bool
    findings: tuple[Finding, ...]
    saliency_key: str = ""


@dataclass(frozen=True, slots=True)
class BreastScore:
    """The mean of a breast's views (the release's rule)."""

    laterality: Laterality
    probability: float
    positive: bool


@dataclass(frozen=True, slots=True)
class ImageNotAssessed:
    sop_instance_uid: str
    name: str
    reason: NotAssessedReason


@dataclass(frozen=True, slots=True)
class Assessment:
    """What the model says of a revision.

    ``not_assessed`` is set where no score may be shown, and then ``images`` are the shadow scores, which no document
    may carry. ``exam_probability`` is None where no image was scored.
    """

    images: tuple[ImageScore, ...]
    breasts: tuple[BreastScore, ...]
    exam_probability: float | None
    positive: bool
    images_not_assessed: tuple[ImageNotAssessed, ...]
    not_assessed: NotAssessedReason | None

    @property
    def shown(self) -> bool:
        return self.not_assessed is None and self.exam_probability is not None


# --- Documents and their way out --------------------------------------------------------------------------------------


class DocumentKind(StrEnum):
    """The kinds of document a revision can have, each made in a file of its own under ``reporting``."""

    SUMMARY = "summary"
    REGION = "region"


@dataclass(frozen=True, slots=True)
class Document:
    """A rendered DICOM object: ``content`` is a whole Part 10 file, kept before the first send."""

    kind: DocumentKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    description: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DocumentFile:
    """A kept document as it is sent: the same bytes at every try."""

    sop_class_uid: str
    sop_instance_uid: str
    content: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class PredecessorDocument:
    """A document of the revision before, as the Predecessor Documents Sequence (0040,A360) names it."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    study_instance_uid: str


@dataclass(frozen=True, slots=True)
class FoundInstance:
    """An instance that a PACS says it has (C-FIND), with its series."""

    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    series_description: str
    modality: str


class DeliveryOutcome(StrEnum):
    """What a destination's answer means for us."""

    DELIVERED = "delivered"
    RETRY = "retry"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class DeliveryResult:
    """The answer of one destination to one document; ``status`` is the DIMSE status, None where none came."""

    sop_instance_uid: str
    outcome: DeliveryOutcome
    status: int | None
    comment: str


# --- Outcomes ---------------------------------------------------------------------------------------------------------


class LabelState(StrEnum):
    """What is known of the truth. Pending is not negative (promise 11)."""

    PENDING = "pending"
    POSITIVE = "positive"
    CONFIRMED_NEGATIVE = "confirmed negative"
    UNKNOWN = "unknown"
