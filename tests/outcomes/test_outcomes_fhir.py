"""FHIR DiagnosticReports, as laboratories of several versions write them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dosremc_node.errors import OutcomesUnreadable
from dosremc_node.outcomes import read_file
from dosremc_node.records import Diagnosis, Laterality, OutcomeReport, OutcomeStatus, PatientIdentifier

SCT, ICD_O = "http://snomed.info/sct", "http://terminology.hl7.org/CodeSystem/icd-o-3"
ACSN = {"coding": [{"code": "ACSN"}]}


def concept(code: str, system: str = SCT, **more: object) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}], **more}


def observation(number: int, code: str, *, specimen: str = "", **more: object) -> dict[str, Any]:
    found: dict[str, Any] = {
        "resourceType": "Observation",
        "id": f"o{number}",
        "status": "final",
        "code": concept("59847-4", "http://loinc.org"),
        "valueCodeableConcept": concept(code, ICD_O if "/" in code else SCT),
        **more,
    }
    return found | ({"specimen": {"reference": f"Specimen/{specimen}"}} if specimen else {})


def specimen(name: str, site: object) -> dict[str, Any]:
    return {
        "resourceType": "Specimen",
        "id": name,
        "identifier": [{"value": name}],
        "collection": {"collectedDateTime": "2026-02-28", "bodySite": site},
    }


def bundle(*resources: dict[str, Any], **report: object) -> dict[str, Any]:
    made = {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "identifier": [{"system": "urn:oid:1.2.3", "value": "P26-5"}],
        "status": "final",
        "code": concept("11529-5", "http://loinc.org", text="Pathology of the breast"),
        "subject": {"reference": "urn:uuid:the-patient"},
        "basedOn": [{"identifier": {"type": ACSN, "value": "ACC1"}}],
        "issued": "2026-03-02T10:00:00+01:00",
        "specimen": [{"reference": f"Specimen/{each['id']}"} for each in resources if each["resourceType"] == "Specimen"],
        "result": [{"reference": f"Observation/{each['id']}"} for each in resources if each["resourceType"] == "Observation"],
        **report,
    }
    patient = {
        "resourceType": "Patient",
        "id": "p",
        "identifier": [{"system": "urn:oid:1.2.9", "value": "4711", "type": {"coding": [{"code": "MR"}]}}],
    }
    entries = [{"fullUrl": "urn:uuid:the-patient", "resource": patient}, *({"resource": each} for each in (*resources, made))]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


@pytest.fixture
def read(tmp_path: Path) -> Callable[[object], list[OutcomeReport]]:
    def reports(content: object) -> list[OutcomeReport]:
        file = tmp_path / "bundle"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return list(read_file(file))

    return reports


def said(report: OutcomeReport) -> tuple[object, object]:
    return report.laterality, report.diagnosis


def test_a_bundle_says_all_that_a_label_needs(read: Callable[[object], list[OutcomeReport]]) -> None:
    """A report with its specimen and an observation names woman, order, side, diagnosis and the day, and needs nobody."""
    (report,) = read(bundle(specimen("A", concept("80248007")), observation(1, "8500/3")))
    assert said(report) == (Laterality.LEFT, Diagnosis.MALIGNANT)
    assert (report.source, report.identifier, report.accession_number) == ("urn:oid:1.2.3", "P26-5", "ACC1")
    assert report.patient == PatientIdentifier("4711", "1.2.9")
    assert (report.examined_on, report.review) == (date(2026, 2, 28), "")
    assert report.issued_at
    assert report.issued_at.isoformat().startswith("2026-03-02") or report.issued_at.utcoffset()


def test_a_conclusion_is_read_by_its_codes(read: Callable[[object], list[OutcomeReport]]) -> None:
    """The conclusionCode is the diagnosis, of the side of the report's specimen; R5 puts a concept into both of them."""
    for site, code in ((concept("73056007"), concept("254845004")), ({"concept": concept("73056007")}, {"concept": concept("254845004")})):
        (report,) = read(bundle(specimen("A", site), conclusionCode=[code], conclusion="Fibroadenoma."))
        assert (said(report), report.review) == ((Laterality.RIGHT, Diagnosis.BENIGN), "")
        assert report.text == "Fibroadenoma."


def test_both_breasts_are_two_reports(read: Callable[[object], list[OutcomeReport]]) -> None:
    """Two specimens, or two observations with sites of their own, are two results."""
    by_specimen = read(
        bundle(
            *(specimen("A", concept("80248007")), specimen("B", concept("73056007"))),
            *(observation(1, "8500/2", specimen="A"), observation(2, "254845004", specimen="B")),
        )
    )
    by_site = read(
        bundle(observation(1, "8500/2", bodySite=concept("80248007")), observation(2, "254845004", bodySite=concept("73056007")))
    )
    for reports in (by_specimen, by_site):
        assert [said(each) for each in reports] == [(Laterality.LEFT, Diagnosis.MALIGNANT), (Laterality.RIGHT, Diagnosis.BENIGN)]
        assert len({each.identifier for each in reports}) == 2


def test_a_side_beside_the_body_site_is_read(read: Callable[[object], list[OutcomeReport]]) -> None:
    """The side that mCODE adds to the body site, in an extension, is read."""
    side = {
        "url": "http://hl7.org/fhir/us/mcode/StructureDefinition/mcode-laterality-qualifier",
        "valueCodeableConcept": concept("7771000"),
    }
    (report,) = read(bundle(observation(1, "8500/3", bodySite=concept("76752008", extension=[side]))))
    assert (said(report), report.review) == ((Laterality.LEFT, Diagnosis.MALIGNANT), "")


@pytest.mark.parametrize(
    ("of_report", "of_observation", "meant"),
    [
        ("final", "final", OutcomeStatus.FINAL),
        ("preliminary", "final", OutcomeStatus.PRELIMINARY),
        ("amended", "final", OutcomeStatus.CORRECTED),
        ("final", "corrected", OutcomeStatus.CORRECTED),
        ("entered-in-error", "final", OutcomeStatus.WITHDRAWN),
        ("final", "entered-in-error", OutcomeStatus.WITHDRAWN),
    ],
)
def test_a_status_of_report_or_observation_counts(
    read: Callable[[object], list[OutcomeReport]], of_report: str, of_observation: str, meant: OutcomeStatus
) -> None:
    """A report that is not final is so in all its parts, and an observation may be withdrawn by itself."""
    (report,) = read(bundle(specimen("A", concept("80248007")), observation(1, "8500/3", status=of_observation), status=of_report))
    assert (report.identifier, report.status) == ("P26-5", meant)
    assert (report.diagnosis is None) == (meant is OutcomeStatus.WITHDRAWN)


def test_a_report_that_contains_what_it_refers_to_is_read(read: Callable[[object], list[OutcomeReport]]) -> None:
    """A DiagnosticReport may come by itself, with contained resources and the woman's number alone."""
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r7",
        "status": "final",
        "code": {"text": "Biopsie sein gauche"},
        "subject": {"identifier": {"value": "4711"}},
        "contained": [observation(1, "82711006")],
        "result": [{"reference": "#o1"}],
    }
    (found,) = read(report)
    assert (said(found), found.identifier, found.source) == ((Laterality.LEFT, Diagnosis.MALIGNANT), "r7", "FHIR")


def test_observations_that_refer_to_each_other_end(read: Callable[[object], list[OutcomeReport]]) -> None:
    """A panel is read with its members, each once, even where they name the panel among theirs."""
    round_about = [{"reference": "Observation/o1"}, {"reference": "Observation/o2"}]
    panel = {"resourceType": "Observation", "id": "o1", "status": "final", "code": {"text": "panel"}, "hasMember": round_about}
    member = observation(2, "8500/3", bodySite=concept("80248007"), hasMember=round_about)
    content = bundle(panel, member, result=[{"reference": "Observation/o1"}])
    (report,) = read(content)
    assert said(report) == (Laterality.LEFT, Diagnosis.MALIGNANT)


def test_what_is_not_said_waits(read: Callable[[object], list[OutcomeReport]]) -> None:
    """A conclusion in words alone, of no side, waits for a person."""
    (report,) = read(bundle(conclusion="Invasive carcinoma, left breast"))
    assert said(report) == (None, None)
    assert "no rule reads them" in report.review
    assert "which side" in report.review


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ('{"resourceType": "Bundle"}', "no DiagnosticReport"),
        ('{"resourceType": "Patient"}', "no DiagnosticReport"),
        ('{"resourceType": ', "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('{"resourceType": "DiagnosticReport", "id": "1", "status": 7}', "status is not as FHIR has it"),
        ('{"resourceType": "DiagnosticReport", "id": "1", "status": "final"}', "subject has no identifier"),
        ('{"resourceType": "DiagnosticReport", "subject": {"identifier": {"value": "1"}}}', "neither identifier nor id"),
        ("<Bundle xmlns='http://hl7.org/fhir'/>", "XML"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_reason(read: Callable[[object], list[OutcomeReport]], content: str, why: str) -> None:
    """What is no report is refused, by a sentence that quotes nothing of it."""
    with pytest.raises(OutcomesUnreadable, match=why):
        read(content)
