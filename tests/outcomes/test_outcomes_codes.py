"""What codes mean: malignant or not, which side, which organ."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom.sr._cid_dict import cid_concepts
from pydicom.sr.codedict import codes

from dosremc_node.errors import SiteRulesUnreadable
from dosremc_node.outcomes.codes import BOTH, LEFT, RIGHT, Meaning, Organ, Verdict, standard_meaning
from dosremc_node.outcomes.site_rules import SiteCode, SiteTable, read_codes, read_text_rules
from dosremc_node.outcomes.site_words import meaning_of_words
from dosremc_node.outcomes.systems import CodedValue, System, system_of
from dosremc_node.outcomes.vocabulary import Vocabulary
from dosremc_node.settings import OutcomeSettings

REPOSITORY = Path(__file__).parents[2]


def meaning(code: str, system: str) -> Meaning:
    found = standard_meaning(code, system_of(system))
    assert found
    return found


@pytest.mark.parametrize(
    ("code", "system", "verdict"),
    [
        ("82711006", "SCT", "malignant"),  # infiltrating duct carcinoma
        ("86616005", "http://snomed.info/sct", "malignant"),  # ductal carcinoma in situ: in no CID, by its older identifier
        ("109888004", "SCT", "high risk"),  # lobular carcinoma in situ
        ("6660000", "SCT", "high risk"),
        ("254845004", "2.16.840.1.113883.6.96", "benign"),
        ("111341", "DCM", "malignant"),
        ("111330", "DCM", "uncertain"),  # metastasis in an axillary node
        ("8500/3", "ICDO3", "malignant"),
        ("85002", "ICD-O-3", "malignant"),
        ("8520/2", "http://terminology.hl7.org/CodeSystem/icd-o-3", "high risk"),
        ("9020/1", "ICD-O-3", "uncertain"),
        ("8140/6", "ICDO", "uncertain"),
        ("9010/0", "ICDO3", "benign"),
        ("M85003", "PALGA", "malignant"),
        ("82711006", "SNOMED", "malignant"),
        ("C50.4", "ICD-10-GM-2026", "malignant"),
        ("M-85003", "SNM3", "malignant"),
        ("M-74220", "SRT", "benign"),
        ("C50.9", "I10", "malignant"),
        ("D05.1", "ICD-10", "malignant"),
        ("D05.0", "I10", "high risk"),
        ("D05.9", "I10", "uncertain"),
        ("C50.4 G L", "ICD-10-GM", "malignant"),
        ("C50.9V", "I10G2004", "uncertain"),  # suspected
        ("C50.9 A", "ICD10GM", "uncertain"),  # excluded
        ("C50.9Z", "ICD10GM", "uncertain"),  # of long ago
        ("D24", "CIM10", "benign"),
    ],
)
def test_a_published_code_means_what_its_table_says(code: str, system: str, verdict: str) -> None:
    """A code of SNOMED, DICOM, ICD-O or ICD-10 means the same under every name that senders give its system."""
    assert meaning(code, system).verdict == verdict


@pytest.mark.parametrize(
    ("code", "system", "sides", "organ"),
    [
        ("80248007", "SCT", LEFT, Organ.BREAST),
        ("24028007", "SCT", RIGHT, None),
        ("T04020", "SNM", RIGHT, Organ.BREAST),
        ("T-04030", "SRT", LEFT, Organ.BREAST),
        ("C50.911", "I10C", RIGHT, Organ.BREAST),
        ("C50.412", "ICD-10-CM", LEFT, Organ.BREAST),
        ("C50.919", "I10C", frozenset(), Organ.BREAST),
        ("D05.12", "I10C", LEFT, Organ.BREAST),
        ("C504GB", "ICD10GM", BOTH, Organ.BREAST),
        ("C50.4", "ICDO3", frozenset(), Organ.BREAST),
        ("C18.2", "ICDO3", frozenset(), Organ.OTHER),
        ("C77.3", "ICDO3", frozenset(), Organ.NODES),
        ("T-67000", "SNM", frozenset(), Organ.OTHER),
        ("309546004", "SCT", frozenset(), Organ.BREAST),  # lumpectomy sample
        ("R", "HL70495", RIGHT, None),
    ],
)
def test_a_code_says_which_side_and_which_organ(code: str, system: str, sides: frozenset[object], organ: Organ | None) -> None:
    """A topography, or a diagnosis that holds one, names the side and the organ, and no more than it says."""
    assert (meaning(code, system).sides, meaning(code, system).organ) == (sides, organ)


@pytest.mark.parametrize(
    ("code", "system"),
    [("Z85.3", "I10"), ("Z80.3", "I10C"), ("R92", "I10"), ("Z12.31", "I10C")],
)
def test_a_history_of_cancer_is_no_cancer(code: str, system: str) -> None:
    """What ICD-10 codes of history, screening and symptoms say is why she came, not what was found."""
    assert meaning(code, system) == Meaning()


@pytest.mark.parametrize(
    ("code", "system"),
    [("B5a", "L"), ("10828004", "SCT"), ("9999/7", "ICDO3"), ("C50", "LN"), ("", "SCT"), ("C50.9", ""), ("DROP", "I10")],
)
def test_an_unknown_code_is_not_guessed(code: str, system: str) -> None:
    """A code that no table knows means nothing, and one without its system is not taken for one of a known system."""
    assert standard_meaning(code, system_of(system)) is None


@pytest.mark.parametrize(("cid", "never"), [(6031, "malignant"), (6032, "malignant"), (6032, "benign"), (6033, "benign"), (6033, "normal")])
def test_every_code_of_dicoms_tables_is_known_and_never_the_opposite(cid: int, never: str) -> None:
    """No code of CID 6031, 6032 or 6033, asked of pydicom by name, is unknown or means the opposite of its table."""
    for scheme, keywords in cid_concepts[cid].items():
        for keyword in keywords:
            code = getattr(getattr(codes, f"cid{cid}"), keyword)
            assert code.scheme_designator == scheme
            assert meaning(code.value, scheme).verdict not in (None, never), code.meaning


@pytest.mark.parametrize(
    ("text", "sides", "organ"),
    [
        ("Left breast, core biopsy", LEFT, Organ.BREAST),
        ("Mamma links, Stanzbiopsie", LEFT, Organ.BREAST),
        ("sein gauche", LEFT, Organ.BREAST),
        ("BIOPSIE SEIN DROIT", RIGHT, Organ.BREAST),
        ("右乳房", RIGHT, Organ.BREAST),
        ("左乳腺 針生検", LEFT, Organ.BREAST),
        ("両側乳房", BOTH, Organ.BREAST),
        ("mamma dx/sin: höger bröst", RIGHT, Organ.BREAST),
        ("молочная железа левая", LEFT, Organ.BREAST),
        ("breast, left and right", BOTH, Organ.BREAST),
        ("left axillary lymph node, breast cancer", LEFT, Organ.NODES),
        ("Sentinel-Lymphknoten rechts", RIGHT, Organ.NODES),
        ("tissue", frozenset(), None),
        ("leftover material", frozenset(), None),
        ("Brustwirbel", frozenset(), None),
    ],
)
def test_the_words_of_a_site_are_read_whole(text: str, sides: frozenset[object], organ: Organ | None) -> None:
    """The name of a site says its side and organ in many languages, by whole words alone."""
    assert meaning_of_words(text) == Meaning(None, sides, organ)  # type: ignore[arg-type]


def test_the_sites_own_table_goes_first() -> None:
    """A site's meaning of a code replaces the published one, and its own codes and texts are known."""
    codes_of_the_site = (
        SiteCode(system="SCT", code="82711006", verdict=Verdict.UNCERTAIN),
        SiteCode(system="99PATHO", code="B5a", verdict=Verdict.MALIGNANT),
        SiteCode(text="Mamma li.", side="left", organ="breast"),  # type: ignore[arg-type]
    )
    vocabulary = Vocabulary(SiteTable(codes=codes_of_the_site, systems={"99HISTO": System.ICD_O}))
    assert vocabulary.meaning(CodedValue("8500/3", "99histo")) == Meaning(Verdict.MALIGNANT)
    assert vocabulary.meaning(CodedValue("82711006", "SCT")) == Meaning(Verdict.UNCERTAIN)
    assert vocabulary.meaning(CodedValue("b5A", "99patho")) == Meaning(Verdict.MALIGNANT)
    assert vocabulary.meaning(CodedValue("B5a", "OTHER")) is None
    assert vocabulary.site(CodedValue(text="MAMMA  LI.")) == Meaning(None, LEFT, Organ.BREAST)


def test_the_examples_of_a_sites_files_are_read_and_are_not_active() -> None:
    """The example files can be read as they stand, and no setting names them until the site does."""
    assert read_codes(REPOSITORY / "config" / "outcome_codes.toml").codes
    assert read_text_rules(REPOSITORY / "config" / "outcome_text.toml").rules
    assert (OutcomeSettings().codes_file, OutcomeSettings().text_rules_file) == (None, None)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("[[codes]]\ncode = 'B5'\nverdict = 'bad'\n", "codes.0.verdict"),
        ("[[codes]]\nsystem = 'L'\n", "codes.0"),
        ("[[code]]\ncode = 'B5'\n", "code"),
        ("codes = [", "the file"),
    ],
)
def test_a_wrong_table_says_where_it_is_wrong(tmp_path: Path, text: str, where: str) -> None:
    """A site's file with a mistake in it is refused, with the place of the mistake and the example to look at."""
    file = tmp_path / "codes.toml"
    file.write_text(text)
    with pytest.raises(SiteRulesUnreadable, match=rf"codes\.toml, {where}: .*outcome_codes\.toml"):
        read_codes(file)
