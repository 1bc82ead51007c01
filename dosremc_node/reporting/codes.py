"""The coded concepts of our reports: standard ones wherever the standard has them, and a private scheme for the rest.

Sources: DICOM PS3.16 (DCM), SNOMED CT (SCT), LOINC (LN), UCUM. Viewers print the meaning as the label of a line.
"""

from __future__ import annotations

from typing import Final

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.coding import Code

from dosremc_node.records import Laterality, View

PRIVATE: Final = "99DOSREMC"


def _private(value: str, meaning: str) -> Code:
    return Code(value, PRIVATE, meaning)


def private_scheme() -> CodingSchemeIdentificationItem:
    """What (0008,0110) says of the private scheme, so that a stranger can tell whose codes these are."""
    return CodingSchemeIdentificationItem(PRIVATE, name="DoSReMC node", responsible_organization="DoSReMC node")


# --- Titles and sections ----------------------------------------------------------------------------------------------

DIAGNOSTIC_IMAGING_REPORT: Final = Code("18748-4", "LN", "Diagnostic Imaging Report")
IMAGING_MEASUREMENT_REPORT: Final = Code("126000", "DCM", "Imaging Measurement Report")
MAMMOGRAPHY: Final = Code("71651007", "SCT", "Mammography")
BREAST: Final = {
    Laterality.LEFT: Code("80248007", "SCT", "Left breast"),
    Laterality.RIGHT: Code("73056007", "SCT", "Right breast"),
}
NOT_ASSESSED_SECTION: Final = _private("NOTASSESSED", "Not assessed")
PROVENANCE_SECTION: Final = _private("PROVENANCE", "How this was made")


def view_section(name: str) -> Code:
    """The section of one view, such as ``L CC``, named the way a radiographer names it."""
    return _private(name.replace(" ", "-")[:16], name)


# --- What a report states ---------------------------------------------------------------------------------------------

RESULT: Final = _private("RESULT", "AI result")
POSITIVE: Final = Code("10828004", "SCT", "Positive")
NEGATIVE: Final = Code("260385009", "SCT", "Negative")
NOT_ASSESSED: Final = _private("NOTASSESSED", "Not assessed")
IMPRESSION: Final = Code("121073", "DCM", "Impression")
PROBABILITY_OF_CANCER: Final = Code("111047", "DCM", "Probability of cancer")
PERCENT: Final = Code("%", "UCUM", "Percent")
IMAGE: Final = _private("IMAGE", "Image")
SOURCE_IMAGE: Final = Code("121324", "DCM", "Source image")
SOURCE_OF_PROCESSING: Final = Code("121322", "DCM", "Source image for image processing operation")
SUPERSEDES: Final = _private("SUPERSEDES", "Supersedes")
INTENDED_USE: Final = _private("INTENDEDUSE", "Intended use")

# --- What made it -----------------------------------------------------------------------------------------------------

OPERATING_POINT: Final = _private("OPERATINGPOINT", "Operating point")
DOMAIN: Final = _private("DOMAIN", "Scanner domain")
SCANNER: Final = _private("SCANNER", "Scanner")
BANK: Final = _private("BANK", "Bank")
FILTERS: Final = _private("FILTERS", "Filters")
ALGORITHM_NAME: Final = Code("111001", "DCM", "Algorithm Name")
ALGORITHM_VERSION: Final = Code("111003", "DCM", "Algorithm Version")
ARTIFICIAL_INTELLIGENCE: Final = Code("123110", "DCM", "Artificial Intelligence")
PROCESSING_EQUIPMENT: Final = Code("109102", "DCM", "Processing Equipment")

# --- Saliency ---------------------------------------------------------------------------------------------------------

SALIENCY: Final = _private("SALIENCY", "Saliency")
SPATIAL_CONCEPT: Final = Code("309825002", "SCT", "Spatial and Relational Concept")
SEGMENTATION: Final = Code("113076", "DCM", "Segmentation")

# --- Regions ----------------------------------------------------------------------------------------------------------

SELECTED_REGION: Final = Code("111099", "DCM", "Selected region")
BOUNDED_BY: Final = Code("75958009", "SCT", "Bounded by")

# --- Rejection notes (PS3.16 TID 2010) ---------------------------------------------------------------------------------

REJECTED: Final = Code("113001", "DCM", "Rejected for Quality Reasons")
TITLE_MODIFIER: Final = Code("113011", "DCM", "Document Title Modifier")
SUPERSEDED: Final = _private("SUPERSEDED", "Superseded by a later revision")

# --- Mammography CAD SR (PS3.16 TID 4000) -----------------------------------------------------------------------------

MAMMOGRAPHY_CAD_REPORT: Final = Code("111036", "DCM", "Mammography CAD Report")
LANGUAGE: Final = Code("121049", "DCM", "Language of Content Item and Descendants")
ENGLISH: Final = Code("en", "RFC5646", "English")
IMAGE_LIBRARY: Final = Code("111028", "DCM", "Image Library")
IMAGE_LATERALITY: Final = Code("111027", "DCM", "Image Laterality")
IMAGE_VIEW: Final = Code("111031", "DCM", "Image View")
VIEW: Final = {
    View.CC: Code("399162004", "SCT", "cranio-caudal"),
    View.MLO: Code("399368009", "SCT", "medio-lateral oblique"),
    View.ML: Code("399260004", "SCT", "medio-lateral"),
    View.LM: Code("399352003", "SCT", "latero-medial"),
    View.LMO: Code("399099002", "SCT", "latero-medial oblique"),
    View.XCCL: Code("399192008", "SCT", "cranio-caudal exaggerated laterally"),
    View.XCCM: Code("399101009", "SCT", "cranio-caudal exaggerated medially"),
    View.FB: Code("399196006", "SCT", "caudo-cranial (from below)"),
    View.SIO: Code("399188001", "SCT", "superolateral to inferomedial oblique"),
    View.ISO: Code("441555000", "SCT", "inferomedial to superolateral oblique"),
}
"""CID 4014. Cleavage and axillary tail are modifiers of another view there."""
PATIENT_ORIENTATION_ROW: Final = Code("111044", "DCM", "Patient Orientation Row")
PATIENT_ORIENTATION_COLUMN: Final = Code("111043", "DCM", "Patient Orientation Column")
STUDY_DATE: Final = Code("111060", "DCM", "Study Date")
STUDY_TIME: Final = Code("111061", "DCM", "Study Time")
CONTENT_DATE: Final = Code("111018", "DCM", "Content Date")
CONTENT_TIME: Final = Code("111019", "DCM", "Content Time")
HORIZONTAL_PIXEL_SPACING: Final = Code("111026", "DCM", "Horizontal Pixel Spacing")
VERTICAL_PIXEL_SPACING: Final = Code("111066", "DCM", "Vertical Pixel Spacing")
MILLIMETER: Final = Code("mm", "UCUM", "millimeter")

PROCESSING_AND_FINDINGS: Final = Code("111017", "DCM", "CAD Processing and Findings Summary")
ALL_WITHOUT_FINDINGS: Final = Code("111241", "DCM", "All algorithms succeeded; without findings")
ALL_WITH_FINDINGS: Final = Code("111242", "DCM", "All algorithms succeeded; with findings")
PART_WITHOUT_FINDINGS: Final = Code("111243", "DCM", "Not all algorithms succeeded; without findings")
PART_WITH_FINDINGS: Final = Code("111244", "DCM", "Not all algorithms succeeded; with findings")
NONE_SUCCEEDED: Final = Code("111245", "DCM", "No algorithms succeeded; without findings")
IMPRESSION_DESCRIPTION: Final = Code("111033", "DCM", "Impression Description")
LATERALITY: Final = Code("272741003", "SCT", "Laterality")
CERTAINTY_OF_IMPRESSION: Final = Code("111013", "DCM", "Certainty of impression")
ALGORITHM_PARAMETERS: Final = Code("111002", "DCM", "Algorithm Parameters")

INDIVIDUAL_IMPRESSION: Final = Code("111034", "DCM", "Individual Impression/Recommendation")
RENDERING_INTENT: Final = Code("111056", "DCM", "Rendering Intent")
PRESENTATION_REQUIRED: Final = Code("111150", "DCM", "Presentation Required: Rendering device is expected to present")
SINGLE_IMAGE_FINDING: Final = Code("111059", "DCM", "Single Image Finding")
DENSITY: Final = Code("129793001", "SCT", "Mammography breast density")
"""The most general lesion of CID 6014, and one that workstations draw. A selected region (111099) may have no probability of cancer there."""
TRACKING_IDENTIFIER: Final = Code("112039", "DCM", "Tracking Identifier")
TRACKING_UID: Final = Code("112040", "DCM", "Tracking Unique Identifier")
CERTAINTY_OF_FINDING: Final = Code("111012", "DCM", "Certainty of Finding")
CENTER: Final = Code("111010", "DCM", "Center")
OUTLINE: Final = Code("111041", "DCM", "Outline")

SUCCEEDED: Final = Code("111222", "DCM", "Succeeded")
PARTIALLY_SUCCEEDED: Final = Code("111223", "DCM", "Partially Succeeded")
FAILED: Final = Code("111224", "DCM", "Failed")
NOT_ATTEMPTED: Final = Code("111225", "DCM", "Not Attempted")
SUMMARY_OF_DETECTIONS: Final = Code("111064", "DCM", "Summary of Detections")
SUCCESSFUL_DETECTIONS: Final = Code("111063", "DCM", "Successful Detections")
FAILED_DETECTIONS: Final = Code("111025", "DCM", "Failed Detections")
DETECTION_PERFORMED: Final = Code("111022", "DCM", "Detection Performed")
SUMMARY_OF_ANALYSES: Final = Code("111065", "DCM", "Summary of Analyses")
SUCCESSFUL_ANALYSES: Final = Code("111062", "DCM", "Successful Analyses")
FAILED_ANALYSES: Final = Code("111024", "DCM", "Failed Analyses")
ANALYSIS_PERFORMED: Final = Code("111004", "DCM", "Analysis Performed")
OVERALL_IMPRESSION: Final = Code("111234", "DCM", "Overall Impression / Recommendation Analysis")
