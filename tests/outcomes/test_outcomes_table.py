"""Tables of outcomes, as spreadsheets and registries write them."""

from __future__ import annotations

import csv
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dosremc_node.errors import OutcomesUnreadable
from dosremc_node.outcomes import TEMPLATE, read_file
from dosremc_node.outcomes.judging import Knowledge
from dosremc_node.outcomes.table import COLUMNS, read_table
from dosremc_node.records import Diagnosis, Laterality, OutcomeReport, OutcomeStatus, PatientIdentifier, Provenance

words = st.text(st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=("Cs", "Zs", "Cc", "Zl", "Zp")), max_size=12)
reports = st.builds(
    OutcomeReport,
    source=words.filter(bool),
    identifier=words.filter(bool),
    status=st.sampled_from([OutcomeStatus.PRELIMINARY, OutcomeStatus.FINAL, OutcomeStatus.CORRECTED]),
    patient=st.builds(PatientIdentifier, words.filter(bool), words),
    accession_number=words,
    laterality=st.sampled_from(Laterality),
    diagnosis=st.sampled_from(Diagnosis),
    examined_on=st.none() | st.dates(date(1900, 1, 1)),
    text=words,
    provenance=st.none() | st.sampled_from(Provenance),
    issued_at=st.none() | st.datetimes(datetime(1980, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - bounds have no zone
)


def row(report: OutcomeReport) -> dict[str, object]:
    return {
        "identifier": report.identifier,
        "patient_id": report.patient.patient_id,
        "issuer": report.patient.issuer,
        "laterality": report.laterality,
        "diagnosis": report.diagnosis,
        "examined_on": report.examined_on or "",
        "accession_number": report.accession_number,
        "status": report.status,
        "provenance": report.provenance or "",
        "issued_at": report.issued_at.isoformat() if report.issued_at else "",
        "source": report.source,
        "text": report.text,
    }


@given(st.lists(reports, min_size=1, max_size=5), st.sampled_from([",", ";", "\t"]))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, written: list[OutcomeReport], delimiter: str) -> None:
    """Whatever reports hold, a table that Python's own writer made of them, in any of the usual dialects, is read as they were."""
    file = tmp_path_factory.getbasetemp() / "table"
    with file.open("w", encoding="utf-8-sig", newline="") as opened:
        writer = csv.DictWriter(opened, COLUMNS, delimiter=delimiter)
        writer.writeheader()
        writer.writerows(row(each) for each in written)
    assert list(read_file(file)) == written


def test_the_template_has_every_column_and_is_a_table() -> None:
    """The template that a site begins with names every column, and can be read as it stands."""
    assert tuple(TEMPLATE.splitlines()[0].split(",")) == COLUMNS
    cancer, coded, followed_up = read_table(TEMPLATE, Knowledge())
    assert (cancer.laterality, cancer.diagnosis, cancer.examined_on) == (Laterality.LEFT, Diagnosis.MALIGNANT, date(2026, 3, 1))
    assert (coded.diagnosis, followed_up.diagnosis) == (Diagnosis.BENIGN, Diagnosis.NORMAL)
    assert not any(each.review for each in (cancer, coded, followed_up))


@pytest.mark.parametrize(
    ("code", "diagnosis", "why"),
    [("8500/2,ICD-O-3", Diagnosis.MALIGNANT, ""), ("D24,ICD-10", Diagnosis.BENIGN, ""), ("B5b,OURS", None, "nobody has said what")],
)
def test_a_code_stands_for_a_diagnosis(code: str, diagnosis: Diagnosis | None, why: str) -> None:
    """In place of a diagnosis a row may have a code, which means the same as in a message; an unknown one waits for a person."""
    (report,) = read_table(f"identifier,patient_id,laterality,code,code_system\n1,P1,R,{code}\n", Knowledge())
    assert (report.laterality, report.diagnosis) == (Laterality.RIGHT, diagnosis)
    assert why in report.review
    assert bool(report.review) == bool(why)


def test_a_row_without_a_side_waits_for_a_person() -> None:
    """A diagnosis of no side is kept, and says why a person is to look."""
    (report,) = read_table("Identifier; Patient_ID; Diagnosis\n1;P1;malignant\n\n", Knowledge())
    assert (report.laterality, report.review) == (None, "it does not say which side")


def test_a_withdrawal_needs_no_diagnosis() -> None:
    """A row that withdraws a result needs nothing but its identifier and the woman."""
    (report,) = read_table("identifier,patient_id,status\n1,P1,withdrawn\n", Knowledge())
    assert (report.status, report.review) == (OutcomeStatus.WITHDRAWN, "")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "no table with a column identifier"),
        ("name,diagnosis\nDOE,malignant\n", "no table with a column identifier"),
        ("identifier,patient_id,diagnosis,name\n1,P1,benign,DOE\n", "not those of the template"),
        ("identifier,patient_id,diagnosis\n1,P1,benign\n2,P2,DOE^JANE\n", "line 3: diagnosis is none of malignant, benign, normal"),
        ("identifier,patient_id,diagnosis\n1,,benign\n", "line 2: patient_id is empty"),
        ("identifier,patient_id,diagnosis\n,P1,benign\n", "line 2: identifier is empty"),
        ("identifier,patient_id,laterality\n1,P1,L\n", "line 2: it has neither a diagnosis nor a code"),
        ("identifier,patient_id,diagnosis\n1,P1,benign,DOE\n", "line 2: it has more values"),
        ("identifier,patient_id,diagnosis,examined_on\n1,P1,benign,1.3.2026\n", "line 2: examined_on is no date"),
        ('identifier,patient_id,diagnosis\n1,"P1"x,benign\n', "what follows line 1 is no row"),
    ],
)
def test_a_wrong_table_is_refused_whole_and_says_where(tmp_path: Path, content: str, why: str) -> None:
    """A mistake in any row refuses the table, names the line and the column, and quotes no value: it could be a name."""
    file = tmp_path / "table.csv"
    file.write_text(content)
    with pytest.raises(OutcomesUnreadable, match=why) as refused:
        read_file(file)
    assert "DOE" not in str(refused.value)


def test_a_spreadsheet_of_another_code_page_is_read(tmp_path: Path) -> None:
    """What is no UTF-8 is read as spreadsheets of western Europe write it."""
    file = tmp_path / "table.csv"
    file.write_bytes("identifier;patient_id;laterality;diagnosis;text\r\n1;P1;L;benign;mäßig\r\n".encode("cp1252"))
    assert read_file(file)[0].text == "mäßig"
