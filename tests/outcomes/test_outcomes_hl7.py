"""ORU^R01 of other systems: what each says of a breast, in their versions, languages and habits."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from harness.messages import message
from hl7apy.core import Message as MadeMessage
from hypothesis import given, settings
from hypothesis import strategies as st

from dosremc_node.errors import MessageRefused, OutcomesUnreadable
from dosremc_node.messages import parse, read_envelope
from dosremc_node.outcomes import OutcomeReader, check, read_file
from dosremc_node.records import Diagnosis, Laterality, OutcomeReport, OutcomeStatus, PatientIdentifier, Provenance
from dosremc_node.settings import OutcomeSettings

LEFT, RIGHT = Laterality.LEFT, Laterality.RIGHT
MALIGNANT, BENIGN = Diagnosis.MALIGNANT, Diagnosis.BENIGN
ORDER = "OBR|1||S26-1|11529-5^Surgical pathology^LN|||202602281015"
CANCER = "82711006^Infiltrating duct carcinoma^SCT"
FIBROADENOMA = "254845004^Fibroadenoma^SCT"
LEFT_BREAST, RIGHT_BREAST = "80248007^Left breast^SCT", "73056007^Right breast^SCT"
ReadOne = Callable[..., OutcomeReport]


def finding(code: str = CANCER, site: str = LEFT_BREAST, *, number: int = 1, part: str = "", status: str = "F", kind: str = "CWE", question: str = "22637-3^Final^LN") -> str:  # fmt: skip
    return f"OBX|{number}|{kind}|{question}|{part}|{code}||||||{status}|||||||||{site}"


def said(report: OutcomeReport) -> tuple[Laterality | None, Diagnosis | None]:
    return report.laterality, report.diagnosis


# --- What a report says -----------------------------------------------------------------------------------------------


def test_a_coded_result_says_all_that_a_label_needs(read_one: ReadOne) -> None:
    """A final coded result names source, number, woman, side, diagnosis and the day on which the tissue was taken, and needs nobody."""
    report = read_one(ORDER + "|||||||||||||||202603021130+0100", finding())
    assert (report.source, report.identifier, report.status) == ("RIS at HOSPITAL", "S26-1", OutcomeStatus.FINAL)
    assert report.patient == PatientIdentifier("4711", "HOSPITAL")
    assert said(report) == (LEFT, MALIGNANT)
    assert (report.examined_on, report.codes, report.review) == (date(2026, 2, 28), ("82711006^SCT",), "")
    assert report.issued_at == datetime(2026, 3, 2, 10, 30, tzinfo=UTC)


def test_a_benign_biopsy_says_how_it_is_known(read_one: ReadOne) -> None:
    """Benign pathology is a benign biopsy; a malignant one may be screen-detected or interval, which the report does not say."""
    assert read_one(ORDER, finding(FIBROADENOMA)).provenance is Provenance.BIOPSY_BENIGN
    assert read_one(ORDER, finding()).provenance is None


@pytest.mark.parametrize(
    "segments",
    [
        pytest.param([ORDER, finding(site="80248007^Left breast^SCT")], id="OBX-20"),
        pytest.param([ORDER, finding(site="^^^LB^Breast, left^L")], id="OBX-20 by its words"),
        pytest.param([ORDER, finding(site=""), "SPM|1|^S1||TISS^Tissue^HL70487||||BREAST^Breast^HL70163|L^Left^HL70495"], id="SPM-8 and SPM-9"),
        pytest.param([ORDER, finding(site=""), "SPM|1|^S1||T^Mamma links, Stanzbiopsie^L"], id="SPM-4"),
        pytest.param([ORDER + "||||||||TISS&Tissue&HL70070^^^BRST&Breast&L^L&Left", finding(site="")], id="OBR-15"),
        pytest.param([ORDER + "||||||||&&&&&&&&left breast mass", finding(site="")], id="OBR-15 in words"),
        pytest.param(["OBR|1||S26-1|LBX^Left breast biopsy^L", finding(site="")], id="OBR-4"),
        pytest.param([ORDER, finding(code="C50.912^Ca^I10C", site="")], id="in the diagnosis itself"),
        pytest.param([ORDER, finding(site="76752008^Breast^SCT", question="22637-3&L^Final^LN")], id="beside OBX-3"),
        pytest.param([ORDER, finding(code="M-85003^Carcinoma^SNM^L", site="76752008^Breast^SCT", kind="CE")], id="beside OBX-5"),
        pytest.param([ORDER, finding(code="T-04030^Left breast^SNM~M-85003^Carcinoma^SNM", site="", kind="CE")], id="a topography beside it"),
        pytest.param([ORDER, finding(site=""), "OBX|2|ST|22633-2^Site of origin^LN||left breast biopsy||||||F"], id="an observation of the site"),
        pytest.param([ORDER, finding(site="76752008^^SCT"), "OBX|2|IS|20228-3^Laterality^LN||L||||||F"], id="an observation of the side"),
    ],
)  # fmt: skip
def test_a_side_is_found_wherever_the_versions_keep_it(read_one: ReadOne, segments: list[str]) -> None:
    """Laterality is read from each place in which one version or another keeps it, and the report needs nobody."""
    report = read_one(*segments)
    assert said(report) == (LEFT, MALIGNANT)
    assert report.review == ""


@pytest.mark.parametrize(
    ("segments", "why"),
    [
        ([ORDER, finding(site="76752008^Breast^SCT")], "it does not say which side"),
        ([ORDER, finding(site="63762007^Both breasts^SCT")], "it names both sides"),
        ([ORDER + "||||||||^^^^R", finding()], "it names both sides"),
        ([ORDER, finding(site="L^Left^HL70495")], "it does not say that it is of a breast"),
        ([ORDER, finding(code="109888004^LCIS^SCT")], "a high-risk lesion"),
        ([ORDER, finding(code="8500/6^Metastasis^ICDO3")], "does not decide it"),
        ([ORDER, finding(code="C50.9 V^Verdacht^ICD10GM")], "does not decide it"),
        ([ORDER, finding(code="B5b^maligne^99X")], r"what B5b\^99X means"),
        ([ORDER, finding(code="B5b^maligne^99X"), finding(FIBROADENOMA, number=2)], r"what B5b\^99X means"),
        ([ORDER, finding(site="^^^^Left axilla, sentinel node")], "lymph nodes or the axilla"),
        ([ORDER, "OBX|1|ED|PDF^Report^L||^application^pdf^Base64^JVBERi0x||||||F"], "embedded document"),
        ([ORDER, finding(status="")], "whether it is final"),
        ([ORDER, finding(code="C50.9^Ca^I10", question="X^Diagnose^L")], "does not decide it"),
    ],
)
def test_what_is_not_certain_waits_for_a_person(read_one: ReadOne, segments: list[str], why: str) -> None:
    """A report that leaves side, organ or diagnosis open says so, and never carries a guess."""
    report = read_one(*segments)
    assert report.review
    assert re.search(why, report.review)
    if "side" in why:
        assert report.laterality is None
    elif "final" not in why:
        assert report.diagnosis is None


def test_both_breasts_in_one_message_are_two_reports(read: Callable[..., Any]) -> None:
    """Left and right in one order are two results, by OBX-4, by specimen or by nothing but their sides."""
    by_part = read(ORDER, finding(part="1"), finding(FIBROADENOMA, RIGHT_BREAST, number=2, part="2"))
    by_specimen = read(
        *(ORDER, "SPM|1|^S26-1-A||T^Left breast^L", finding(site="")),
        *("SPM|2|^S26-1-B||T^Right breast^L", finding(FIBROADENOMA, "")),
    )
    by_side = read(ORDER, finding(), finding(FIBROADENOMA, RIGHT_BREAST, number=2))
    by_order = read(ORDER, finding(), ORDER.replace("S26-1", "S26-2"), finding(FIBROADENOMA, RIGHT_BREAST))
    for reports in (by_part, by_specimen, by_side, by_order):
        assert [said(each) for each in reports] == [(LEFT, MALIGNANT), (RIGHT, BENIGN)]
        assert len({each.identifier for each in reports}) == 2
        assert not any(each.review for each in reports)


def test_an_order_for_both_breasts_does_not_blur_a_specimen(read_one: ReadOne) -> None:
    """What an order says of both breasts leaves a specimen of one of them what it is."""
    report = read_one("OBR|1||S26-1|BX^Breast biopsy, bilateral^L", finding())
    assert (said(report), report.review) == ((LEFT, MALIGNANT), "")


def test_two_specimens_of_one_breast_are_two_results(read: Callable[..., Any]) -> None:
    """Each specimen keeps a result of its own under its own number, whatever stands in OBX-4, so that each can be corrected."""
    cores = [("SPM|1|^S26-1-A||T^Left breast^L", CANCER), ("SPM|2|^S26-1-B||T^Left breast^L", FIBROADENOMA)]
    reports = read(ORDER, *(segment for specimen, code in cores for segment in (specimen, finding(code, ""))))
    assert [(each.identifier, each.diagnosis) for each in reports] == [("S26-1/S26-1-A", MALIGNANT), ("S26-1/S26-1-B", BENIGN)]


def test_a_breast_with_several_lesions_is_malignant_if_any_is(read_one: ReadOne) -> None:
    """Of the findings of one breast the malignant one decides, in repetitions of a field, in several observations, or as alternate codes."""
    for segments in (
        [finding(f"{FIBROADENOMA}~{CANCER}")],
        [finding(FIBROADENOMA), finding(CANCER, number=2)],
        [finding("X1^lokal^99X^8500/3^Ca^ICDO3~254845004^FA^SCT")],
    ):
        assert read_one(ORDER, *segments).diagnosis is MALIGNANT


def test_what_is_known_of_before_is_not_what_was_found(read_one: ReadOne) -> None:
    """A cancer in the history is no diagnosis of this tissue."""
    history = "OBX|2|CWE|22636-5^History^LN||C50.912^Ca^I10C~82711006^IDC^SCT||||||F"
    assert said(read_one(ORDER, finding(FIBROADENOMA), history)) == (LEFT, BENIGN)


def test_other_organs_are_left_out(read: Callable[..., Any]) -> None:
    """A laboratory that sends all its results makes no report of a colon, nor of a lymph node in which nothing was found."""
    assert read(ORDER, finding("8140/3^Adenocarcinoma^ICDO3~C18.2^Colon^ICDO3", site="")) == []
    assert read(ORDER, finding("59441001^Lymph node^SCT", site="^^^^left axilla")) == []


def test_other_services_are_left_out(read: Callable[..., Any]) -> None:
    """What radiology or the blood laboratory sends under OBR-24 is no result of tissue; surgical pathology is."""
    for service, reports in (("RAD", 0), ("CH", 0), ("SP", 1), ("CP", 1)):
        assert len(read(f"{ORDER}|||||||||||||||||{service}", finding())) == reports


def test_senders_of_breasts_alone_need_not_name_the_organ(read_one: ReadOne) -> None:
    """Where the settings say that all that is sent is of breasts, a side is enough."""
    report = read_one(ORDER, finding(site="L^Left^HL70495"), breast_only=True)
    assert (said(report), report.review) == ((LEFT, MALIGNANT), "")


# --- Versions of a result ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "meant"),
    [("P", "preliminary"), ("R", "preliminary"), ("S", "preliminary"), ("F", "final"), ("U", "final"), ("C", "corrected"), ("W", "withdrawn"), ("D", "withdrawn"), ("X", "withdrawn")],
)  # fmt: skip
def test_the_status_of_an_observation_is_that_of_the_report(read_one: ReadOne, status: str, meant: str) -> None:
    """OBX-11 says what a report is to an earlier one, under the same identifier; a withdrawn one says nothing of the breast."""
    report = read_one(ORDER, finding(status=status))
    assert (report.identifier, report.status) == ("S26-1", meant)
    assert (report.diagnosis is None) == (meant == "withdrawn")
    assert report.review == ""


def test_an_order_that_is_corrected_corrects_all_its_observations(read_one: ReadOne) -> None:
    """OBR-25 C makes a correction of what OBX-11 calls final, and stands in for OBX-11 where that is empty."""
    corrected = ORDER + "||||||||||||||||||C"
    assert read_one(corrected, finding()).status is OutcomeStatus.CORRECTED
    assert read_one(corrected, finding(status="")).status is OutcomeStatus.CORRECTED


def test_a_correction_of_the_side_keeps_the_identifier(read_one: ReadOne) -> None:
    """A correction from left to right replaces the left one: its identifier holds no side."""
    assert read_one(ORDER, finding(CANCER, RIGHT_BREAST, status="C")).identifier == read_one(ORDER, finding()).identifier


def test_an_order_that_is_cancelled_withdraws_its_result(read_one: ReadOne) -> None:
    """An order without observations that was cancelled (OBR-25 X) withdraws what was sent of it."""
    assert read_one(ORDER + "||||||||||||||||||X").status is OutcomeStatus.WITHDRAWN


def test_a_correction_to_another_organ_withdraws(read_one: ReadOne) -> None:
    """What was of a breast and is corrected to be of another organ no longer counts for the breast."""
    report = read_one(ORDER, finding("8140/3^Ca^ICDO3~C18.2^Colon^ICDO3", site="", status="C"))
    assert (report.identifier, report.status) == ("S26-1", OutcomeStatus.WITHDRAWN)


# --- Numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("segments", "accession"),
    [
        (["OBR|1|P1|S1|D^Breast^L||||||||||||||ACC18", finding()], "ACC18"),
        (["OBR|1|P1|S1|D^Breast^L", finding()], "S1"),
        (["OBR|1|P1|S1|D^Breast^L||||||||||||||ACC18", "IPC|ACCIPC^PACS|RP|1.2.3|SPS", finding()], "ACCIPC"),
    ],
)
def test_the_accession_number_is_where_the_settings_say(read_one: ReadOne, segments: list[str], accession: str) -> None:
    """The accession number of the images is taken from the first of the settings' fields that has one."""
    assert read_one(*segments).accession_number == accession
    assert read_one("ORC|RE|PLACER", *segments, accession_fields=["ORC-2"]).accession_number == "PLACER"


def test_a_hospitals_number_is_preferred_to_an_insurances(read_one: ReadOne) -> None:
    """Of several identifiers in PID-3 the medical record number is taken; before 2.3 there is PID-2."""
    assert read_one("PID|1||123^^^^SS~00466^^^HOSPITAL&1.2.3&ISO^MR", ORDER, finding()).patient == PatientIdentifier("00466", "HOSPITAL")
    assert read_one("PID|1|77|", ORDER, finding()).patient == PatientIdentifier("77")


@pytest.mark.parametrize(
    ("segments", "where"),
    [
        (["PID|1||4711"], "OBR"),
        ([ORDER, finding()], "PID"),
        (["PID|1||", ORDER, finding()], "PID^1^3"),
        (["PID|1||4711", "OBR|1|||D^Breast^L", finding()], "OBR^1^3"),
    ],
)
def test_a_message_that_could_not_be_worked_on_is_refused_before_its_acknowledgement(segments: list[str], where: str) -> None:
    """The check that comes before the acknowledgement refuses what has no patient, no order or no number, and says where."""
    content = message("ORU^R01", *segments)
    envelope = read_envelope(content)
    assert envelope
    with pytest.raises(MessageRefused) as refused:
        check(parse(content, envelope))
    assert (refused.value.facts["answer"], refused.value.facts["where"]) == ("AE", where)


# --- Other hospitals' systems -----------------------------------------------------------------------------------------


def made(version: str, language: dict[str, str], character_set: str, codec: str) -> bytes:
    """A message made by hl7apy, which holds its segments and fields against the version's own tables."""
    built = MadeMessage("ORU_R01", version=version)
    built.msh.msh_3, built.msh.msh_4 = language["system"], language["hospital"]
    built.msh.msh_9, built.msh.msh_10, built.msh.msh_11 = "ORU^R01", "MSG1", "P"
    built.msh.msh_18 = character_set
    group = built.add_group("ORU_R01_RESPONSE" if version < "2.4" else "ORU_R01_PATIENT_RESULT")
    holder = group.add_group("ORU_R01_PATIENT")
    holder.add_segment("PID").pid_3 = "4711^^^KLINIK"
    order = group.add_group("ORU_R01_ORDER_OBSERVATION")
    request = order.add_segment("OBR")
    request.obr_1, request.obr_3, request.obr_4, request.obr_7, request.obr_25 = (
        "1",
        "P26-5",
        f"HIST^{language['order']}^L",
        "20260228",
        "F",
    )
    observation = order.add_group("ORU_R01_OBSERVATION").add_segment("OBX")
    observation.obx_1, observation.obx_2, observation.obx_3 = "1", "CE", f"DX^{language['question']}^L"
    observation.obx_5, observation.obx_11 = f"M-85003^{language['diagnosis']}^SNM", "F"
    if version < "2.7":
        request.obr_15 = f"TISS^^^MA&{language['site']}&L"
    else:
        observation.obx_20 = f"MA^{language['site']}^L"
    return str(built.to_er7()).encode(codec)


GERMAN = {"system": "PATHOSYS", "hospital": "Universitätsklinikum", "order": "Mammastanze", "question": "Diagnose", "diagnosis": "Invasives duktales Karzinom, mäßig differenziert", "site": "Linke Brust"}  # fmt: skip
FRENCH = {"system": "ANAPATH", "hospital": "Hôpital", "order": "Biopsie mammaire", "question": "Conclusion", "diagnosis": "Carcinome canalaire infiltrant opéré", "site": "Sein gauche"}  # fmt: skip
JAPANESE = {
    "system": "BYORI",
    "hospital": "病院",
    "order": "病理組織検査",
    "question": "診断",
    "diagnosis": "浸潤性乳管癌",
    "site": "左乳房",
}


@pytest.mark.parametrize("version", ["2.3", "2.4", "2.5.1", "2.7"])
@pytest.mark.parametrize(
    ("language", "character_set", "codec"),
    [(GERMAN, "8859/1", "iso8859_1"), (FRENCH, "UNICODE UTF-8", "utf-8"), (JAPANESE, "ISO IR87", "iso2022_jp"), (JAPANESE, "UNICODE UTF-8", "utf-8")],
    ids=["German", "French", "Japanese ISO 2022", "Japanese UTF-8"],
)  # fmt: skip
def test_messages_of_other_languages_and_versions_are_read(version: str, language: dict[str, str], character_set: str, codec: str) -> None:
    """A message that hl7apy made, in another language, character set and version, says the same as in English."""
    (report,) = OutcomeReader(OutcomeSettings()).read_message(made(version, language, character_set, codec))
    assert (said(report), report.review) == ((LEFT, MALIGNANT), "")
    assert report.text == language["diagnosis"]
    assert report.source == f"{language['system']} at {language['hospital']}"


def test_text_is_read_whole(read_one: ReadOne) -> None:
    """Separators that a writer left in text, escapes, formatting and repetitions do not cut it short."""
    value = r"Mass \T\ calcifications: 12 mm & 3^4\.sp2\\H\carcinoma\N\~second \XC3A4\ line"
    report = read_one(ORDER, f"OBX|1|FT|22637-3^Final^LN||{value}||||||F")
    assert report.text == "Mass & calcifications: 12 mm & 3^4\ncarcinoma\nsecond ä line"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A link in place of a file is not read: whoever may write to a folder could name any file by it."""
    (tmp_path / "real").write_bytes(message("ORU^R01", "PID|1||1", ORDER, finding()))
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert read_file(tmp_path / "real")
    with pytest.raises(OutcomesUnreadable):
        read_file(tmp_path / "link")


def test_real_registry_messages_are_read(shared_data: Path, tmp_path: Path) -> None:
    """The cancer registries' own sample messages, all in free text, are split into their specimens, each for a person, and lose nothing."""
    samples = (shared_data / "hl7-naaccr" / "hl7_samples_from_official_documentation.txt").read_text()
    file = tmp_path / "anything"
    file.write_text(samples.replace("<CR>", ""))
    reports = read_file(file)
    assert [each.identifier for each in reports if each.laterality is LEFT and "no rule reads" in each.review]
    assert {each.diagnosis for each in reports} == {None}
    specimens = [each for each in reports if each.identifier.startswith("97 810430/97 810430-")]
    assert ["Infiltrating duct carcinoma" in each.text for each in specimens] == [True, False, False]
    assert [each.laterality for each in specimens] == [LEFT, None, LEFT]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            lambda name, fields: "|".join([name, *fields]),
            st.sampled_from(["PID", "ORC", "OBR", "OBX", "SPM", "IPC", "NTE", "ZZZ", ""]),
            st.lists(st.text(st.characters(blacklist_characters="\r\n|", blacklist_categories=("Cs",)), max_size=12), max_size=25),
        ),
        max_size=8,
    )
)
def test_nonsense_is_read_or_refused_and_never_harms(segments: list[str]) -> None:
    """Whatever segments and fields hold, a message is read or refused in our own words."""
    with suppress(MessageRefused):
        OutcomeReader(OutcomeSettings()).read_message(message("ORU^R01", *segments))
