"""``outcomes``: what pathology and follow-up say, what waits for a person, who objected, and whom the lot fell on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from dosremc_node.cli.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    actor,
    existing_ledger,
    local_time,
    output,
    print_json,
    print_table,
    read_settings,
)
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.audit_arm import audit_arm_exams
from dosremc_node.ledger.demographics import studies_of
from dosremc_node.ledger.labels import labels
from dosremc_node.ledger.objections import list_objections, object_to, revoke
from dosremc_node.ledger.outcome_tables import OutcomeState
from dosremc_node.ledger.outcomes import Decision, Outcome, enter_report, list_outcomes, resolve
from dosremc_node.ledger.overview import find_study
from dosremc_node.outcomes import TEMPLATE, read_file
from dosremc_node.records import Diagnosis, LabelRules, LabelState, Laterality, PatientIdentifier, StudyId

outcomes = typer.Typer(help="Pathology and follow-up: what is shown identifies patients.", no_args_is_help=True)

ReasonOption = Annotated[str, typer.Option(help="Why, for the audit trail.")]
IssuerOption = Annotated[str, typer.Option(help="Who issued the patient's identifier.")]


def register(app: typer.Typer) -> None:
    app.add_typer(outcomes, name="outcomes")


# --- Reports ----------------------------------------------------------------------------------------------------------


@outcomes.command("import")
def import_(
    files: Annotated[list[Path], typer.Argument(help="CSV, FHIR or HL7 files.", exists=True, dir_okay=False)],
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Enter the reports of files; what was entered before is not entered again. Example: dosremc-node outcomes import pathology.csv"""
    settings = read_settings(config, options)
    ledger, now = existing_ledger(settings), datetime.now(UTC)
    reports = [report for path in files for report in read_file(path.resolve(), settings.outcomes)]
    numbers = {enter_report(ledger, report, now, settings.outcomes.match_within) for report in reports}
    entered = [each for each in list_outcomes(ledger) if each.outcome_id in numbers]
    states = Counter(each.state for each in entered)
    new = sum(each.received_at == now for each in entered)
    if as_json:
        print_json({"reports": len(reports), "new": new, "states": states})
        return
    output.print(
        f"{len(reports)} reports, {new} of them new: " + (", ".join(f"{count} {state}" for state, count in states.items()) or "none")
    )
    if states[OutcomeState.REVIEW]:
        output.print(f"{states[OutcomeState.REVIEW]} wait for a person: see `dosremc-node outcomes review`")


@outcomes.command()
def template() -> None:
    """Print the columns of a CSV file, with a line as an example. Example: dosremc-node outcomes template"""
    typer.echo(TEMPLATE, nl=False)


@outcomes.command("list")
def list_(
    *,
    state: Annotated[list[OutcomeState] | None, typer.Option(help="Only of this state; may be repeated.", show_default="all")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """List every version of every result, and where it belongs. Example: dosremc-node outcomes list --state matched"""
    _print(list_outcomes(existing_ledger(read_settings(config, options)), state or ()), as_json=as_json)


@outcomes.command()
def review(*, as_json: JsonOption = False, config: ConfigOption = None, options: SetOption = None) -> None:
    """List what waits for a person, with its text and why. Example: dosremc-node outcomes review"""
    found = list_outcomes(existing_ledger(read_settings(config, options)), [OutcomeState.REVIEW])
    _print(found, as_json=as_json)
    for each in () if as_json else found:
        output.print(f"outcome {each.outcome_id}: {each.reason}", highlight=False, soft_wrap=True, markup=False)
        if each.text:
            output.print(each.text, highlight=False, soft_wrap=True, markup=False)


def _print(found: Sequence[Outcome], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    columns = (
        "outcome",
        "state",
        "status",
        "patient",
        "accession number",
        "breast",
        "diagnosis",
        "examined",
        "study",
        "score",
        "why",
        "by",
    )
    print_table("", columns, [_row(each) for each in found])


def _row(each: Outcome) -> tuple[object, ...]:
    return (
        each.outcome_id,
        each.state,
        each.status,
        f"{each.patient.patient_id} ({each.patient.issuer})" if each.patient.issuer else each.patient.patient_id,
        each.accession_number,
        each.laterality and each.laterality.word,
        each.diagnosis,
        each.examined_on,
        each.study_id,
        each.score,
        each.reason,
        each.decided_by,
    )


@outcomes.command("resolve")
def resolve_(
    outcome: Annotated[int, typer.Argument(help="The outcome's number.")],
    *,
    study: Annotated[str, typer.Option(help="The exam that it is of: its name in the ledger, or its Study Instance UID.")] = "",
    breast: Annotated[Laterality | None, typer.Option(help="The breast that it is of.", show_default=False)] = None,
    diagnosis: Annotated[Diagnosis | None, typer.Option(help="What was found.", show_default=False)] = None,
    dismiss: Annotated[bool, typer.Option("--dismiss", help="It is of no exam here.")] = False,
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Say what a report does not say itself. Example: dosremc-node outcomes resolve 17 --breast L --reason 'seen in the full report'"""
    if not (study or breast or diagnosis or dismiss):
        raise typer.BadParameter("say what holds: --study, --breast, --diagnosis, or --dismiss")
    settings = read_settings(config, options)
    ledger = existing_ledger(settings)
    study_id = (find_study(ledger, study) or StudyId(study)) if study else None
    decision = Decision(study_id, breast, diagnosis, dismiss, reason)
    settled = resolve(ledger, outcome, decision, actor(), settings.outcomes.match_within)
    if as_json:
        print_json(settled)
        return
    output.print(f"outcome {outcome} is {settled.state}: {settled.reason}", highlight=False, soft_wrap=True)


# --- Objections -------------------------------------------------------------------------------------------------------


@outcomes.command("object")
def object_(
    patient_id: Annotated[str, typer.Argument(metavar="PATIENT", help="One of the patient's identifiers.")],
    *,
    issuer: IssuerOption = "",
    reason: ReasonOption = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Take a woman who objects out of every cohort. Example: dosremc-node outcomes object 4711 --reason 'letter of 3 March'"""
    ledger = existing_ledger(read_settings(config, options))
    patient = PatientIdentifier(patient_id, issuer)
    number, studies = object_to(ledger, patient, actor(), reason), studies_of(ledger, patient)
    if as_json:
        print_json({"objection": number, "studies": studies})
        return
    output.print(f"objection {number} is in force: {len(studies)} studies that came so far are in no cohort, nor is what will come")


@outcomes.command()
def objections(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Those too that were revoked.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """List who objected. Example: dosremc-node outcomes objections --all"""
    found = list_objections(existing_ledger(read_settings(config, options)), revoked=everything)
    if as_json:
        print_json(found)
        return
    columns = ("objection", "patient", "issuer", "entered by", "at", "revoked", "by")
    print_table(
        "",
        columns,
        [
            (
                each.objection_id,
                each.patient.patient_id,
                each.patient.issuer,
                each.actor,
                local_time(each.objected_at),
                local_time(each.revoked_at),
                each.revoked_by,
            )
            for each in found
        ],
    )


@outcomes.command("revoke")
def revoke_(
    objection: Annotated[int, typer.Argument(help="The objection's number.")],
    *,
    reason: ReasonOption = "",
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Have an objection hold no more. Example: dosremc-node outcomes revoke 3 --reason 'she agrees, letter of 9 May'"""
    revoke(existing_ledger(read_settings(config, options)), objection, actor(), reason)
    output.print(f"objection {objection} is revoked")


# --- The audit arm ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Followed:
    """An exam that the lot fell on, and what is known of its breasts."""

    study_id: StudyId
    drawn_at: datetime
    probability: float
    left: LabelState | None
    right: LabelState | None

    @property
    def is_open(self) -> bool:
        return LabelState.PENDING in (self.left, self.right)


@outcomes.command("audit-arm")
def audit_arm(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Those too whose truth is known.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """List the exams that the lot fell on and that are to be followed up. Example: dosremc-node outcomes audit-arm"""
    settings = read_settings(config, options)
    drawn = _followed(existing_ledger(settings), settings.outcomes.label_rules)
    shown = [each for each in drawn if everything or each.is_open]
    if as_json:
        print_json(shown)
        return
    columns = ("study", "drawn", "probability", "left", "right")
    print_table("", columns, [(each.study_id, local_time(each.drawn_at), each.probability, each.left, each.right) for each in shown])
    output.print(f"{len(drawn)} exams drawn, {sum(each.is_open for each in drawn)} still without an outcome")


def _followed(ledger: Ledger, rules: LabelRules) -> list[_Followed]:
    known = labels(ledger, rules, datetime.now(UTC))
    states = {key: label.state for key, label in known.items()}
    return [
        _Followed(
            each.study_id,
            each.drawn_at,
            each.probability,
            states.get((each.study_id, Laterality.LEFT)),
            states.get((each.study_id, Laterality.RIGHT)),
        )
        for each in audit_arm_exams(ledger)
    ]
