"""Which coding system a sender means: HL7 table 0396, DICOM PS3.16 8, OIDs and FHIR's URIs name the same ones differently."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class System(StrEnum):
    """The coding systems that are known without a site's table."""

    SNOMED_CT = "SNOMED CT"
    SNOMED_3 = "SNOMED 3"
    """SNOMED II, 3 and RT and what is derived from them, such as PALGA's thesaurus: T-04020, M-85003."""
    DICOM = "DICOM"
    ICD_O = "ICD-O"
    ICD_10 = "ICD-10"
    """WHO's, and the German modification, which adds letters for side and certainty."""
    ICD_10_CM = "ICD-10-CM"
    LOINC = "LOINC"
    SIDE = "side"
    """HL7 table 0495, DICOM's Laterality: L, R, B."""


@dataclass(frozen=True, slots=True)
class CodedValue:
    """A code as it was sent (HL7 CWE.1 to CWE.3, FHIR Coding), or its text alone."""

    code: str = ""
    system: str = ""
    text: str = ""

    def __str__(self) -> str:
        return f"{self.code}^{self.system}" if self.code else ""


_NAMES: Final = {
    System.SNOMED_CT: r"SCT|SNOMEDCT.*|HTTPSNOMEDINFOSCT.*|2168401113883696",
    System.SNOMED_3: r"SNM3?|SNT|SRT|99SDM|SNOMED(3|RT|II)?|PALGA|HTTPSNOMEDINFOSRT|216840111388365|2168401113883651",
    System.DICOM: r"DCM|HTTPDICOMNEMAORGRESOURCESONTOLOGYDCM|12840100082164",
    System.ICD_O: r"ICDO[1-4]?\d?[MT]?|CIMO3?|HTTP(TERMINOLOGY)?HL7ORG(FHIRSID|CODESYSTEM)ICDO3?|21684011138836431",
    System.ICD_10: r"I10|I10GM?\d*|ICD10(GM|WHO)?\d*|CIM10|HTTPHL7ORGFHIRSIDICD10|HTTPFHIRDE.*ICD10GM|216840111388363|1227607653\d+",
    System.ICD_10_CM: r"I10C|ICD10CM|HTTPHL7ORGFHIRSIDICD10CM|2168401113883690",
    System.LOINC: r"LN|LNC|LOINC|HTTPLOINCORG|216840111388361",
    System.SIDE: r"(HL7)?0495|LATERALITY",
}
_PATTERNS: Final = {system: re.compile(pattern) for system, pattern in _NAMES.items()}


def system_of(name: str) -> System | None:
    """The coding system of that name; None where it is none of these, and so a local one."""
    plain = re.sub(r"[^A-Z0-9]", "", name.upper().removeprefix("URN:OID:"))
    return next((system for system, pattern in _PATTERNS.items() if pattern.fullmatch(plain)), None)
