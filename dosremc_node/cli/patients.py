"""``patients``: what messages changed of patients, who is who after it, and how to undo it."""

from __future__ import annotations

from collections.abc import Sequence
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
from dosremc_node.ledger.demographics import ChangeKind, PatientChange, identities_of, list_changes, studies_of, undo
from dosremc_node.records import PatientIdentifier

patients = typer.Typer(help="Updates and merges of patients: what is shown identifies them.", no_args_is_help=True)

AllOption = Annotated[bool, typer.Option("--all", help="Those too that were undone.")]


def register(app: typer.Typer) -> None:
    app.add_typer(patients, name="patients")


@patients.command()
def merges(*, everything: AllOption = False, as_json: JsonOption = False, config: ConfigOption = None, options: SetOption = None) -> None:
    """List which patients were merged. Example: dosremc-node patients merges"""
    found = list_changes(existing_ledger(read_settings(config, options)), undone=everything)
    _print([each for each in found if each.kind is ChangeKind.MERGE], as_json=as_json)


@patients.command()
def changes(*, everything: AllOption = False, as_json: JsonOption = False, config: ConfigOption = None, options: SetOption = None) -> None:
    """List all that messages changed, updates too. Example: dosremc-node patients changes --all"""
    _print(list_changes(existing_ledger(read_settings(config, options)), undone=everything), as_json=as_json)


def _print(found: Sequence[PatientChange], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    columns = ("change", "kind", "patient", "was", "name", "birth date", "sender", "at", "undone", "by")
    print_table(
        "",
        columns,
        [
            (
                each.change_id,
                each.kind,
                _identifier(each.patient),
                each.prior and _identifier(each.prior),
                each.name,
                each.birth_date,
                each.sender,
                local_time(each.changed_at),
                local_time(each.undone_at),
                each.undone_by,
            )
            for each in found
        ],
    )


def _identifier(patient: PatientIdentifier) -> str:
    return f"{patient.patient_id} ({patient.issuer})" if patient.issuer else patient.patient_id


@patients.command()
def show(
    patient_id: Annotated[str, typer.Argument(help="One of the patient's identifiers.")],
    *,
    issuer: Annotated[str, typer.Option(help="Who issued it.")] = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Show under which identifiers a patient is known, and her studies. Example: dosremc-node patients show 4711"""
    ledger = existing_ledger(read_settings(config, options))
    patient = PatientIdentifier(patient_id, issuer)
    identities, studies = sorted(identities_of(ledger, patient)), studies_of(ledger, patient)
    if as_json:
        print_json({"identities": identities, "studies": studies})
        return
    output.print("identifiers: " + ", ".join(map(_identifier, identities)), highlight=False, markup=False)
    output.print("studies: " + (", ".join(studies) or "none"), highlight=False)


@patients.command("undo")
def undo_(
    change: Annotated[int, typer.Argument(help="The change's number.")],
    *,
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")] = "",
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Have a merge or an update count no more. Example: dosremc-node patients undo 12 --reason 'two women'"""
    undo(existing_ledger(read_settings(config, options)), change, actor(), reason)
    output.print(f"patient change {change} is undone")
