"""What an image is, and what its header says of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum


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
    CONTRAST_ENHANCED = "Contrast-enhanced image: not a screening view."
    COLOUR = "Image in colour: mammograms are grey."
    QUALITY_CONTROL = "Quality control image, not a breast."
    OTHER_VIEW = "A view other than CC or MLO: not a screening view."
    UNKNOWN_VIEW = "The view cannot be told from the header."
    UNKNOWN_LATERALITY = "The side cannot be told from the header."
    MULTI_FRAME = "Image with several frames: not supported by this release."
    NO_BREAST = "No breast can be made out: a page of text, a part of a breast, or something else."
    UNREADABLE = "The pixel data cannot be decoded."
    UNKNOWN_SCANNER = "The scanner belongs to no domain of this release."
    WITHHELD = "Results of this scanner domain are withheld until a person has looked into them."
    MIXED_DOMAINS = "The study's images come from scanners of different domains."
    REMOVED = "The node had already removed this image when a further image of the study came."
    IMAGES_REMOVED = "Images of this study had already been removed when a further one came: it can no longer be assessed as a whole, see the earlier report."
    WITHDRAWN_FOR_QUALITY = "Withdrawn by a rejection note for quality reasons."
    WITHDRAWN_FOR_SAFETY = "Withdrawn by a rejection note for patient safety reasons."
    WITHDRAWN_FOR_WORKLIST = "Withdrawn by a rejection note: it was made under an incorrect worklist entry."
    WITHDRAWN_FOR_RETENTION = "Withdrawn by a rejection note: its retention period has expired."
    OTHER_PATIENT = "Set aside by a person: the image names another patient."
    ALL_WITHDRAWN = "Every image of the study was withdrawn by a rejection note."


@dataclass(frozen=True, slots=True)
class PatientAndStudy:
    """What identifies the woman and her examination. It lives in the ledger only, never in a log, metric or error."""

    study_instance_uid: str
    patient_id: str = ""
    issuer_of_patient_id: str = ""
    accession_number: str = ""
    study_date: date | None = None
    patient_name: str = ""
    """As the header has it, such as ``DOE^JANE``."""
    birth_date: str = ""


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
