"""Outcomes as a table: comma-separated values, as spreadsheets and registries write them.

The columns, in any order; those without a star may be left out or empty:

==================  ==========================================================================================================
``identifier`` *    names the result: a row with the same one, in this file or a later one, is a correction of it
``patient_id`` *    as the images have it; ``issuer`` of it, where it has one
``laterality``      L or R; empty where it is not known, and then a person is asked
``diagnosis``       malignant, benign or normal (a later examination found nothing)
``code``            in place of a diagnosis: a code, with its ``code_system`` (ICD-O-3, ICD-10, ICD-10-CM, SCT, DCM, or the site's own)
``examined_on``     when the tissue was taken or the follow-up made, YYYY-MM-DD
``accession_number``  of the mammogram
``status``          final (where empty), preliminary, corrected, withdrawn
``provenance``      screen-detected, interval, biopsy benign, follow-up, random audit
``issued_at``       when this version of the result was made, YYYY-MM-DDThh:mm and a zone
``source``          which system or registry it is from; CSV where empty
``text``            words for whoever reviews it
==================  ==========================================================================================================
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Final, NoReturn, TypeVar

from dosremc_node.errors import OutcomesUnreadable
from dosremc_node.outcomes.judging import Knowledge
from dosremc_node.outcomes.reports import reports_of
from dosremc_node.outcomes.results import Observation, Result
from dosremc_node.outcomes.site_rules import Question
from dosremc_node.outcomes.systems import CodedValue
from dosremc_node.outcomes.timestamps import moment_of
from dosremc_node.records import Diagnosis, Laterality, OutcomeReport, OutcomeStatus, PatientIdentifier, Provenance

_NEEDED: Final = ("identifier", "patient_id")
COLUMNS: Final = (
    *_NEEDED,
    *("issuer", "laterality", "diagnosis", "code", "code_system", "examined_on", "accession_number"),
    *("status", "provenance", "issued_at", "source", "text"),
)
TEMPLATE: Final = "\n".join(
    (
        ",".join(COLUMNS),
        "S26-00417,4711,HOSPITAL,L,malignant,,,2026-03-01,ACC1,final,,2026-03-04T10:00+01:00,Pathology,",
        "S26-00502,4712,HOSPITAL,R,,D24,ICD-10,2026-03-09,,final,,,Pathology,Fibroadenoma",
        "F26-00031,4713,HOSPITAL,R,normal,,,2026-03-12,,final,follow-up,,Screening,",
        "",
    )
)
"""What a site begins with."""
_SIDES: Final = {"l": Laterality.LEFT, "left": Laterality.LEFT, "r": Laterality.RIGHT, "right": Laterality.RIGHT, "": None}
_SIDE_TABLE = "HL70495"
_T = TypeVar("_T")


def read_table(content: str, knowledge: Knowledge) -> Sequence[OutcomeReport]:
    """The reports of a table; raises `OutcomesUnreadable`, which names the line, where anything in it is wrong."""
    rows = csv.DictReader(io.StringIO(content, newline=""), delimiter=_delimiter(content), strict=True)
    try:
        columns = [(name or "").strip().lower() for name in rows.fieldnames or ()]
        _check(columns)
        rows.fieldnames = columns
        return [report for row in rows for report in _Row(row, rows.line_num).reports(knowledge)]
    except csv.Error:
        raise OutcomesUnreadable(why=f"what follows line {rows.line_num} is no row of comma-separated values") from None


def _delimiter(content: str) -> str:
    """What stands between the columns: spreadsheets of some countries write semicolons."""
    header = content.lstrip().splitlines()[0] if content.strip() else ""
    return max(",;\t", key=header.count)


def _check(columns: Sequence[str]) -> None:
    if missing := [each for each in _NEEDED if each not in columns]:
        raise OutcomesUnreadable(why=f"it is no message, no FHIR resource and no table with a column {missing[0]} in its first line")
    if any(each not in COLUMNS for each in columns) or len(set(columns)) < len(columns):
        raise OutcomesUnreadable(why=f"its columns are not those of the template: {', '.join(COLUMNS)}")


class _Row:
    """One row; ``line`` is where it ends."""

    def __init__(self, values: Mapping[str | None, str | Sequence[str] | None], line: int) -> None:
        self._line = line
        if None in values:
            self._fail("it has more values than there are columns")
        self._values = {str(key): str(value or "").strip() for key, value in values.items()}

    def reports(self, knowledge: Knowledge) -> Sequence[OutcomeReport]:
        """The row's report; none where the row is empty."""
        if not any(self._values.values()):
            return []
        if not (self._text("diagnosis") or self._text("code") or self._status() is OutcomeStatus.WITHDRAWN):
            self._fail("it has neither a diagnosis nor a code")
        return [self._report()] if self._text("diagnosis") or not self._text("code") else self._coded(knowledge)

    def _report(self) -> OutcomeReport:
        laterality, status = self._one_of("laterality", _SIDES), self._status()
        diagnosis = self._one_of("diagnosis", {each.value: each for each in Diagnosis} | {"": None})
        is_withdrawn = status is OutcomeStatus.WITHDRAWN
        return OutcomeReport(
            source=self._text("source") or "CSV",
            identifier=self._needed("identifier"),
            status=status,
            patient=self._patient(),
            accession_number=self._text("accession_number"),
            laterality=laterality,
            diagnosis=diagnosis,
            examined_on=self._day(),
            codes=tuple(filter(None, (str(self._code()),))),
            text=self._text("text"),
            provenance=self._one_of("provenance", {each.value: each for each in Provenance} | {"": None}),
            review="" if laterality or is_withdrawn else "it does not say which side",
            issued_at=self._issued_at(),
        )

    def _coded(self, knowledge: Knowledge) -> Sequence[OutcomeReport]:
        plain = self._report()
        side = CodedValue(plain.laterality.value, _SIDE_TABLE) if plain.laterality else CodedValue()
        finding = Observation("", "", Question.DIAGNOSIS, plain.status, (self._code(),), plain.text, ((side,),), taken_on=plain.examined_on)
        result = Result(plain.source, plain.identifier, plain.patient, plain.accession_number, plain.issued_at, (finding,))
        # The table is one of breasts, whatever its codes name.
        return reports_of(result, Knowledge(knowledge.vocabulary, knowledge.text_rules, breast_only=True))

    def _status(self) -> OutcomeStatus:
        return self._one_of("status", {each.value: each for each in OutcomeStatus} | {"": OutcomeStatus.FINAL})

    def _patient(self) -> PatientIdentifier:
        return PatientIdentifier(self._needed("patient_id"), self._text("issuer"))

    def _code(self) -> CodedValue:
        return CodedValue(self._text("code"), self._text("code_system"))

    def _day(self) -> date | None:
        text = self._text("examined_on")
        try:
            return date.fromisoformat(text) if text else None
        except ValueError:
            self._fail("examined_on is no date such as 2026-03-01")

    def _issued_at(self) -> datetime | None:
        text = self._text("issued_at")
        if text and moment_of(text) is None:
            self._fail("issued_at is no time such as 2026-03-01T12:00+01:00")
        return moment_of(text)

    def _one_of(self, column: str, meanings: Mapping[str, _T]) -> _T:
        text = self._text(column).lower()
        if text not in meanings:
            self._fail(f"{column} is none of {', '.join(filter(None, meanings))}")
        return meanings[text]

    def _needed(self, column: str) -> str:
        return self._text(column) or self._fail(f"{column} is empty")

    def _text(self, column: str) -> str:
        return self._values.get(column, "")

    def _fail(self, why: str) -> NoReturn:
        """The value itself is not quoted: where columns are mixed up it could be a name."""
        raise OutcomesUnreadable(why=f"line {self._line}: {why}")
