"""The coded concepts of our reports: standard ones wherever the standard has them, and a private scheme for the rest.

Sources: DICOM PS3.16 (DCM), SNOMED CT (SCT), LOINC (LN), UCUM. Viewers print the meaning as the label of a line.
"""

from __future__ import annotations

from typing import Final

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.coding import Code

from dosremc_node.records import Laterality

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

# --- Regions ----------------------------------------------------------------------------------------------------------

SELECTED_REGION: Final = Code("111099", "DCM", "Selected region")
BOUNDED_BY: Final = Code("75958009", "SCT", "Bounded by")
