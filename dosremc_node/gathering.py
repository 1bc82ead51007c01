"""What a run of recalibration works on, out of the ledger: a domain's exams, whose they are, what is known of them, what they are held against."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta

from dosremc_node.drift import TraceBook, VerdictKind, look_at, verdict_on
from dosremc_node.errors import NoReferenceForDomain, NothingScored
from dosremc_node.ledger.drift import AlarmKind, FrozenReference, alarms, references
from dosremc_node.ledger.exams import AssessedExam, assessed_exams
from dosremc_node.ledger.labels import labels
from dosremc_node.ledger.scanners import exams_taken, scanners
from dosremc_node.ledger.women import women_of
from dosremc_node.node import Node
from dosremc_node.recalibration.bounds import point_of
from dosremc_node.recalibration.dossier import Gathered
from dosremc_node.records import Domain, OperatingPoint, Release
from dosremc_node.watching import serving


def domains(node: Node) -> Sequence[Domain]:
    """Every domain that has a bank, or a scanner that was seen."""
    seen = {node.domains.domain_of(scanner) for scanner in scanners(node.ledger).values()}
    return sorted({*node.release_in_force().release.banks, *(domain for domain in seen if domain)})


def gather(node: Node, domain: Domain, now: datetime) -> Gathered:
    """A domain as it stands. Raises `NothingScored` and `NoReferenceForDomain`, which say why there is nothing to do yet."""
    parent = node.release_in_force().release
    keys = {name for name, scanner in scanners(node.ledger).items() if node.domains.domain_of(scanner) == domain}
    taken = sorted((exam for key in sorted(keys) for exam in assessed_exams(node.ledger, scanner_key=key)), key=lambda exam: exam.taken_on)
    exams = _as_now(node, parent, domain, taken)
    if not exams:
        raise NothingScored(domain=domain)
    scored_with = exams[-1].domain
    women = women_of(node.ledger)
    known = labels(node.ledger, node.settings.outcomes.label_rules, now)
    of_domain = {exam.study_id for exam in exams}
    reference, point = _reference(node, domain, scored_with)
    return Gathered(
        domain=domain,
        scored_with=scored_with,
        parent=parent.release_id,
        exams=tuple(exams),
        women=tuple(women[exam.study_id] for exam in exams),
        labels=tuple((study, side, label) for (study, side), label in known.items() if study in of_domain),
        taken={day: count for day, count in exams_taken(node.ledger, keys).items() if day >= exams[0].taken_on},
        reference=tuple(reference),
        reference_point=point,
        shifted=_shifted(node, keys),
    )


def _as_now(node: Node, parent: Release, domain: Domain, exams: Sequence[AssessedExam]) -> list[AssessedExam]:
    """The exams that were scored with the bank and judged by the operating point that are in force: others are of another time."""
    by_its_own = domain in parent.banks
    exams = [exam for exam in exams if not by_its_own or exam.domain == domain]
    known: dict[tuple[str, str, Domain], bool] = {}
    for exam in exams:
        state = (exam.release_id, exam.scanner_key, exam.domain)
        if state not in known:
            known[state] = _same_state(node.shelf.load(exam.release_id).release, parent, exam)
    return [exam for exam in exams if known[exam.release_id, exam.scanner_key, exam.domain]]


def _same_state(then: Release, now: Release, exam: AssessedExam) -> bool:
    if exam.domain not in now.banks or then.banks[exam.domain].sha256 != now.banks[exam.domain].sha256:
        return False
    return point_of(then, exam.scanner_key, exam.domain) == point_of(now, exam.scanner_key, exam.domain)


def _shifted(node: Node, keys: set[str]) -> dict[str, date]:
    """The scanners whose acquisition has changed, and since which day: what alarms without that may be the women, and is for a person."""
    found: dict[str, list[date]] = {}
    for alarm in alarms(node.ledger):
        if alarm.scanner_key in keys and alarm.kind is not AlarmKind.NEW_KEY:
            found.setdefault(alarm.scanner_key, []).append(alarm.taken_on)
    return {key: min(days) for key, days in found.items() if _verdict(node, key) is VerdictKind.ACQUISITION}


def _verdict(node: Node, scanner_key: str) -> VerdictKind:
    serves = serving(node.ledger, node.shelf, scanner_key)
    scanner = look_at(node.ledger, serves, TraceBook(scanner_key, serves.bank.sha256, serves.statistics))
    return verdict_on(scanner, node.settings.drift.recent_exams).kind


def _reference(node: Node, domain: Domain, scored_with: Domain) -> tuple[Sequence[AssessedExam], OperatingPoint]:
    """The frozen exams of a scanner of the domain, the most there are; of the domain that stands in for it, where it has none."""
    frozen = references(node.ledger)
    for of in (domain, scored_with):
        of_domain = sorted((each for each in frozen.values() if each.domain == of), key=lambda each: each.exams)
        if of_domain:
            exams = _frozen_exams(node, of_domain[-1])
            if exams:
                release = node.shelf.load(of_domain[-1].release_id).release
                return exams, point_of(release, exams[0].scanner_key, exams[0].domain)
    raise NoReferenceForDomain(domain=domain, known=", ".join(sorted({each.domain for each in frozen.values()})) or "none")


def _frozen_exams(node: Node, frozen: FrozenReference) -> Sequence[AssessedExam]:
    until = frozen.last_taken_on + timedelta(days=1)
    exams = assessed_exams(node.ledger, scanner_key=frozen.scanner_key, since=frozen.first_taken_on, until=until)
    return [exam for exam in exams if exam.bank_sha256 == frozen.bank_sha256]
