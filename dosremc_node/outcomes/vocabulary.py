"""What a sender's codes and questions mean: by the site's own table, or else by the published ones."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from dosremc_node.outcomes.codes import Meaning, standard_meaning
from dosremc_node.outcomes.site_rules import Question, SiteCode, SiteTable
from dosremc_node.outcomes.site_words import meaning_of_words
from dosremc_node.outcomes.systems import CodedValue, System, system_of

_QUESTIONS: Final = {
    # LOINC: pathology report final diagnosis, its narrative and synoptic form; diagnosis, its ICD code; histology and behaviour (ICD-O-3)
    **dict.fromkeys(("22637-3", "34574-4", "60568-3", "29308-4", "52797-8", "59847-4"), Question.DIAGNOSIS),
    # Site of origin; body site; laterality of the part
    **dict.fromkeys(("22633-2", "39111-0", "20228-3"), Question.SITE),
    # History, gross, microscopic, comments, supplement; history of other reports; clinical information, reason for referral
    **dict.fromkeys(("22636-5", "22634-0", "22635-7", "22638-1", "22639-9", "11329-0", "10164-2", "10157-6", "8670-2"), Question.OTHER),
    **dict.fromkeys(("55752-0", "42349-1"), Question.OTHER),
}


class Vocabulary:
    """What codes mean here. The site's table goes first."""

    def __init__(self, table: SiteTable | None = None) -> None:
        table = table or SiteTable()
        self._by_key = {_key(each.system, each.code, each.text): each for each in table.codes}
        self._systems = {name.strip().casefold(): system for name, system in table.systems.items()}

    def meaning(self, coded: CodedValue) -> Meaning | None:
        """What a code says; None where nobody knows."""
        own = self._own(coded)
        if own is None:
            return standard_meaning(coded.code, self.system(coded)) if coded.code else None
        return Meaning(own.verdict, own.side.lateralities if own.side else frozenset(), own.organ)

    def site(self, coded: CodedValue) -> Meaning:
        """What a code says that stands where a body site or a specimen is named: by its words where the code says nothing."""
        known, words = self.meaning(coded), meaning_of_words(coded.text)
        if known is None or self._own(coded):
            return known or words
        return Meaning(known.verdict, known.sides or words.sides, known.organ or words.organ)

    def question(self, codes: Iterable[CodedValue]) -> Question | None:
        """What an observation asks, by any of its codes; None where nobody knows."""
        codes = list(codes)
        own = next((each.question for coded in codes if (each := self._own(coded)) and each.question), None)
        loinc = (coded.code for coded in codes if self.system(coded) is System.LOINC)
        return own or next((_QUESTIONS[code] for code in loinc if code in _QUESTIONS), None)

    def system(self, coded: CodedValue) -> System | None:
        """The coding system that a sender means; None where it is a local one."""
        return self._systems.get(coded.system.strip().casefold()) or system_of(coded.system)

    def _own(self, coded: CodedValue) -> SiteCode | None:
        keys = (_key(coded.system, coded.code, ""), _key(coded.system, "", coded.text), _key("", "", coded.text))
        return next((self._by_key[key] for key in keys if key in self._by_key), None)


def _key(system: str, code: str, text: str) -> tuple[str, str, str]:
    return system.strip().casefold(), code.strip().casefold(), "" if code else " ".join(text.split()).casefold()
