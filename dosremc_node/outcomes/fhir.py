"""FHIR DiagnosticReport, STU3 to R5, as JSON: in a Bundle, or by itself with what it contains.

Of each resource only the elements below are read, so that a profile's own ones, and the small differences between the versions, do not
matter. `fhir.resources` was tried: it has a set of models for each version, refuses what it does not know, takes seconds to import, and does
not hold `status` against its value set.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, Final

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from dosremc_node.errors import OutcomesUnreadable
from dosremc_node.outcomes.results import Observation, Result
from dosremc_node.outcomes.site_rules import Question
from dosremc_node.outcomes.systems import CodedValue
from dosremc_node.outcomes.timestamps import day_of, moment_of
from dosremc_node.outcomes.vocabulary import Vocabulary
from dosremc_node.records import OutcomeStatus, PatientIdentifier

_STATUSES: Final = {
    **dict.fromkeys(("final",), OutcomeStatus.FINAL),
    **dict.fromkeys(("amended", "corrected", "appended"), OutcomeStatus.CORRECTED),
    **dict.fromkeys(("cancelled", "entered-in-error"), OutcomeStatus.WITHDRAWN),
    **dict.fromkeys(("registered", "partial", "preliminary", "modified"), OutcomeStatus.PRELIMINARY),
}
"""DiagnosticReport.status and Observation.status."""
_ACCESSION = "ACSN"


class _Element(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _Coding(_Element):
    code: str = ""
    system: str = ""
    display: str = ""


class _Extension(_Element):
    url: str = ""
    concept: _Concept | None = Field(None, alias="valueCodeableConcept")


class _Concept(_Element):
    coding: tuple[_Coding, ...] = ()
    text: str = ""
    extension: tuple[_Extension, ...] = ()

    def codes(self) -> Iterator[CodedValue]:
        """Its codes, or its text where it has none; the side that mCODE's extension adds to a body site."""
        yield from (CodedValue(each.code, each.system, each.display or self.text) for each in self.coding)
        if not self.coding and self.text:
            yield CodedValue(text=self.text)
        for each in self.extension:
            if each.concept and "laterality" in each.url:
                yield from each.concept.codes()


def _concept_of(value: Any) -> Any:  # noqa: ANN401 - JSON
    """R5 has a CodeableReference where there was a CodeableConcept."""
    return value.get("concept", value) if isinstance(value, dict) else value


_AnyConcept = Annotated[_Concept, BeforeValidator(_concept_of)]


class _Assigner(_Element):
    display: str = ""


class _Identifier(_Element):
    value: str = ""
    system: str = ""
    type: _Concept = _Concept()
    assigner: _Assigner = _Assigner()

    def is_of(self, kind: str) -> bool:
        return any(each.code == kind for each in self.type.coding)


class _Reference(_Element):
    reference: str = ""
    identifier: _Identifier | None = None


class _Period(_Element):
    start: str = ""


class _Collection(_Element):
    body_site: _AnyConcept = Field(_Concept(), alias="bodySite")
    collected: str = Field("", alias="collectedDateTime")
    collected_period: _Period = Field(_Period(), alias="collectedPeriod")


class _Resource(_Element):
    kind: str = Field("", alias="resourceType")
    id: str = ""
    identifier: tuple[_Identifier, ...] = ()
    contained: tuple[dict[str, Any], ...] = ()


class _Specimen(_Resource):
    type: _Concept = _Concept()
    collection: _Collection = _Collection()

    def sites(self) -> tuple[CodedValue, ...]:
        return (*self.type.codes(), *self.collection.body_site.codes())


class _Component(_Element):
    code: _Concept = _Concept()
    concept: _Concept | None = Field(None, alias="valueCodeableConcept")
    text: str = Field("", alias="valueString")


class _Observation(_Component, _Resource):
    status: str = ""
    body_site: _AnyConcept = Field(_Concept(), alias="bodySite")
    specimen: _Reference = _Reference()
    effective: str = Field("", alias="effectiveDateTime")
    members: tuple[_Reference, ...] = Field((), alias="hasMember")
    component: tuple[_Component, ...] = ()


class _DiagnosticReport(_Resource):
    status: str = ""
    code: _Concept = _Concept()
    subject: _Reference = _Reference()
    based_on: tuple[_Reference, ...] = Field((), alias="basedOn")
    images: tuple[_Reference, ...] = Field((), validation_alias=AliasChoices("imagingStudy", "study"))
    specimen: tuple[_Reference, ...] = ()
    result: tuple[_Reference, ...] = ()
    effective: str = Field("", alias="effectiveDateTime")
    effective_period: _Period = Field(_Period(), alias="effectivePeriod")
    issued: str = ""
    conclusion: str = ""
    codes: tuple[_AnyConcept, ...] = Field((), validation_alias=AliasChoices("conclusionCode", "codedDiagnosis"))
    documents: tuple[dict[str, Any], ...] = Field((), alias="presentedForm")


def results_of(content: str, vocabulary: Vocabulary) -> Sequence[Result]:
    """The results in a Bundle or a DiagnosticReport; raises `OutcomesUnreadable`."""
    try:
        resources = _Resources(json.loads(content))
        return [_Reading(report, resources, vocabulary).result() for report in resources.reports()]
    except ValidationError as error:
        first = error.errors()[0]
        raise OutcomesUnreadable(why=f"{'.'.join(map(str, first['loc']))} is not as FHIR has it ({first['type']})") from None
    except (ValueError, RecursionError):
        raise OutcomesUnreadable(why="it is no JSON") from None


class _Resources:
    """The resources of a file, by what refers to them."""

    def __init__(self, content: object) -> None:
        top = content if isinstance(content, dict) else {}
        entries = top.get("entry", ()) if top.get("resourceType") == "Bundle" else [{"resource": top}]
        self._all: list[dict[str, Any]] = []
        self._by_reference: dict[str, dict[str, Any]] = {}
        for entry in entries if isinstance(entries, list) else ():
            resource = entry.get("resource") if isinstance(entry, dict) else None
            if isinstance(resource, dict):
                self._all.append(resource)
                for name in (entry.get("fullUrl"), f"{resource.get('resourceType')}/{resource.get('id')}"):
                    self._by_reference[str(name)] = resource

    def reports(self) -> Sequence[_DiagnosticReport]:
        found = [_DiagnosticReport.model_validate(each) for each in self._all if each.get("resourceType") == "DiagnosticReport"]
        if not found:
            raise OutcomesUnreadable(why="there is no DiagnosticReport in it")
        return found

    def find(self, reference: _Reference, inside: _Resource) -> dict[str, Any]:
        """What is referred to, contained in ``inside`` or beside it; empty where it is not there."""
        name = reference.reference.split("/_history/")[0]
        if name.startswith("#"):
            return next((each for each in inside.contained if f"#{each.get('id')}" == name), {})
        return self._by_reference.get(name) or self._by_reference.get("/".join(name.split("/")[-2:])) or {}


class _Reading:
    """One report, with what it refers to."""

    def __init__(self, report: _DiagnosticReport, resources: _Resources, vocabulary: Vocabulary) -> None:
        self._report, self._resources, self._vocabulary = report, resources, vocabulary
        self._specimens = {each.reference: self._specimen(each) for each in report.specimen}

    def result(self) -> Result:
        report = self._report
        own = next((each for each in report.identifier if each.value and not each.is_of(_ACCESSION)), None)
        if own is None and not report.id:
            raise OutcomesUnreadable(why="a DiagnosticReport has neither identifier nor id, so that a correction of it could not be told")
        source, number = (own.system, own.value) if own else ("", report.id)
        observations = (*self._conclusion(), *self._observations())
        return Result(source or "FHIR", number, self._patient(), self._accession(), moment_of(report.issued), observations)

    def _patient(self) -> PatientIdentifier:
        subject = self._report.subject
        found = _Resource.model_validate(self._resources.find(subject, self._report)).identifier
        named = [each for each in (*found, *([subject.identifier] if subject.identifier else [])) if each.value]
        if not named:
            raise OutcomesUnreadable(why="a DiagnosticReport's subject has no identifier")
        best = min(named, key=lambda each: not each.is_of("MR"))
        return PatientIdentifier(best.value, best.assigner.display or best.system.removeprefix("urn:oid:"))

    def _accession(self) -> str:
        """An identifier of type ACSN: of the order, of the images, of the report."""
        report = self._report
        of_others = (
            each
            for reference in (*report.based_on, *report.images)
            for each in (
                *([reference.identifier] if reference.identifier else []),
                *_Resource.model_validate(self._resources.find(reference, report)).identifier,
            )
        )
        return next((each.value for each in (*of_others, *report.identifier) if each.is_of(_ACCESSION)), "")

    def _status(self, own: str) -> OutcomeStatus | None:
        """An observation's status. A report that is withdrawn, corrected or preliminary is so in all its parts."""
        whole = _STATUSES.get(self._report.status)
        return whole if whole is not OutcomeStatus.FINAL else _STATUSES.get(own, whole)

    def _conclusion(self) -> Iterator[Observation]:
        """What the report says itself. A withdrawn one has nothing else to be known by."""
        report = self._report
        answers = tuple(code for concept in report.codes for code in concept.codes())
        status = _STATUSES.get(report.status)
        if answers or report.conclusion or report.documents or status is OutcomeStatus.WITHDRAWN:
            sites = (tuple(code for each in self._specimens.values() for code in each.sites()), tuple(report.code.codes()))
            day = self._day("", next(iter(self._specimens.values()), None))
            yield Observation("", "", Question.DIAGNOSIS, status, answers, report.conclusion, sites, bool(report.documents), day)

    def _observations(self) -> Iterator[Observation]:
        """Those of the report and the members of each, once."""
        waiting, met = list(self._report.result), set[str]()
        for reference in waiting:  # which grows
            found = self._resources.find(reference, self._report)
            if found and reference.reference not in met:
                met.add(reference.reference)
                observation = _Observation.model_validate(found)
                waiting.extend(observation.members)
                yield from self._read(observation, str(len(met)))

    def _read(self, observation: _Observation, number: str) -> Iterator[Observation]:
        specimen = self._specimens.get(observation.specimen.reference)
        if specimen is None:
            specimen = (
                self._specimen(observation.specimen) if observation.specimen.reference else next(iter(self._specimens.values()), None)
            )
        of_specimen = specimen.sites() if specimen and (len(self._specimens) < 2 or observation.specimen.reference) else ()
        sites = (tuple(observation.body_site.codes()), of_specimen, tuple(self._report.code.codes()))
        part = _name(specimen) if specimen and len(self._specimens) > 1 and observation.specimen.reference else ""
        status, day = self._status(observation.status), self._day(observation.effective, specimen)
        for each in (observation, *observation.component):
            answers = tuple(each.concept.codes()) if each.concept else ()
            coded = tuple(code for code in answers if code.code)
            text = each.text or "\n".join(code.text for code in answers if not code.code)
            if coded or text or status is OutcomeStatus.WITHDRAWN:
                yield Observation(part, number, self._vocabulary.question(each.code.codes()), status, coded, text, sites, False, day)

    def _day(self, effective: str, specimen: _Specimen | None) -> Any:  # noqa: ANN401
        taken = (specimen.collection.collected, specimen.collection.collected_period.start) if specimen else ()
        texts = (*taken, effective, self._report.effective, self._report.effective_period.start)
        return next((day for each in texts if (day := day_of(each))), None)

    def _specimen(self, reference: _Reference) -> _Specimen:
        return _Specimen.model_validate(self._resources.find(reference, self._report))


def _name(specimen: _Specimen) -> str:
    return next((each.value for each in specimen.identifier if each.value), specimen.id)
