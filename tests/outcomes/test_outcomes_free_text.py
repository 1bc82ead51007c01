"""Free text is read by a site's own rules alone, and never where it denies or doubts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dosremc_node.outcomes.free_text import read_text
from dosremc_node.outcomes.site_rules import TextRules, read_text_rules
from dosremc_node.records import Diagnosis, Laterality, OutcomeReport

EXAMPLE = Path(__file__).parents[2] / "config" / "outcome_text.toml"
ORDER = "OBR|1||S26-1|11529-5^Surgical pathology^LN^^Breast biopsy^L|||20260228"


@pytest.fixture(scope="module")
def rules() -> TextRules:
    return read_text_rules(EXAMPLE)


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Invasive ductal carcinoma, grade 2.", "malignant"),
        ("Invasives duktales Mammakarzinom, G2", "malignant"),
        ("Carcinome canalaire infiltrant de grade II", "malignant"),
        ("浸潤性乳管癌、組織学的グレード2", "malignant"),
        ("Ductal carcinoma in situ, high grade", "malignant"),
        ("Fibrocystic change. No evidence of malignancy.", "benign"),
        ("Fibroadenom. Kein Anhalt für Malignität", "benign"),
    ],
)
def test_a_rule_reads_what_it_was_written_for(rules: TextRules, text: str, verdict: str) -> None:
    """The example's rules read plain diagnoses in the languages that they were written for."""
    assert read_text(text, rules).verdicts == {verdict}


@pytest.mark.parametrize(
    "text",
    [
        "No invasive ductal carcinoma is seen",
        "History of invasive lobular carcinoma",
        "Cannot exclude invasive ductal carcinoma",
        "Kein invasives duktales Karzinom",
        "Verdacht auf invasives duktales Karzinom",
        "pas de carcinome canalaire infiltrant",
        "浸潤性乳管癌を認めない",
        "浸潤性乳管癌の疑い",
        "Complete excision. The invasive part\nis a ductal carcinoma elsewhere",
    ],
)
def test_what_is_denied_or_doubted_is_not_read(rules: TextRules, text: str) -> None:
    """A negation in the sentence keeps a guarded rule from reading it, and no rule reads across sentences."""
    assert read_text(text, rules).verdicts == frozenset()


def test_without_rules_no_text_is_read(read_one: Callable[..., OutcomeReport]) -> None:
    """As shipped, no text is read at all: the report waits for a person, with the words that she needs."""
    report = read_one(ORDER, r"OBX|1|FT|22637-3^Final diagnosis^LN||Left breast:\.br\Invasive ductal carcinoma||||||F")
    assert (report.diagnosis, report.laterality) == (None, None)
    assert "no rule reads them" in report.review
    assert report.text == "Left breast:\nInvasive ductal carcinoma"


def test_what_an_untrusted_rule_read_waits_for_confirmation(read_one: Callable[..., OutcomeReport], tmp_path: Path) -> None:
    """What a rule read is proposed to a person, by the rule's name, until the site trusts it; then it stands by itself."""
    segment = "OBX|1|TX|22637-3^Final diagnosis^LN||Left breast: invasive ductal carcinoma.~Grade 2.||||||F"
    report = read_one(ORDER.replace("^^Breast biopsy^L", ""), segment, text_rules_file=EXAMPLE)
    assert (report.diagnosis, report.laterality) == (Diagnosis.MALIGNANT, Laterality.LEFT)
    assert report.review == "read from its text by a rule that is not trusted (invasive carcinoma, left breast)"
    trusted = tmp_path / "trusted.toml"
    trusted.write_text(EXAMPLE.read_text().replace("[[rules]]", "[[rules]]\ntrusted = true"))
    assert read_one(ORDER, segment, text_rules_file=trusted).review == ""


def test_text_and_codes_that_contradict_each_other_wait(read_one: Callable[..., OutcomeReport]) -> None:
    """A benign code beside words that a rule reads as malignant is neither."""
    report = read_one(
        ORDER,
        "OBX|1|CWE|22637-3^Final diagnosis^LN||254845004^Fibroadenoma^SCT||||||F|||||||||80248007^^SCT",
        "OBX|2|TX|22637-3^Final diagnosis^LN||Invasive lobular carcinoma||||||F",
        text_rules_file=EXAMPLE,
    )
    assert report.diagnosis is None
    assert "contradict" in report.review
