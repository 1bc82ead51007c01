"""``conflicts``: studies in which patients are mixed up, shown to a person and decided by one."""

from __future__ import annotations

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
from dosremc_node.ledger.conflict_decisions import claims, list_conflicts, resolve

conflicts = typer.Typer(help="Studies in which patients are mixed up, and what a person decides about them.", no_args_is_help=True)

ConflictArgument = Annotated[int, typer.Argument(help="The conflict's number.")]


def register(app: typer.Typer) -> None:
    app.add_typer(conflicts, name="conflicts")


@conflicts.command("list")
def list_(
    *,
    all_conflicts: Annotated[bool, typer.Option("--all", help="Those too that were decided.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """List what waits for a decision. Example: dosremc-node conflicts list"""
    found = list_conflicts(existing_ledger(read_settings(config, options)), resolved=all_conflicts)
    if as_json:
        print_json(found)
        return
    columns = ("conflict", "study", "kind", "differing", "other study", "found", "decided", "by", "decision")
    print_table(
        "",
        columns,
        [
            (
                each.conflict_id,
                each.study_id,
                each.kind,
                each.differing,
                each.other_study_id,
                local_time(each.found_at),
                local_time(each.resolved_at),
                each.resolved_by,
                each.resolution,
            )
            for each in found
        ],
    )


@conflicts.command()
def show(conflict: ConflictArgument, *, config: ConfigOption = None, options: SetOption = None) -> None:
    """Show what the images say of the patient: it identifies her. Example: dosremc-node conflicts show 3"""
    found = claims(existing_ledger(read_settings(config, options)), conflict)
    columns = ("number", "patient ID", "issuer", "name", "birth date", "accession number", "study date", "images", "copies")
    print_table(
        "",
        columns,
        [
            (
                number,
                each.who.patient_id,
                each.who.issuer_of_patient_id,
                each.who.patient_name,
                each.who.birth_date,
                each.who.accession_number,
                each.who.study_date,
                each.images,
                each.copies,
            )
            for number, each in enumerate(found, start=1)
        ],
    )


@conflicts.command("resolve")
def resolve_(
    conflict: ConflictArgument,
    *,
    one_woman: Annotated[bool, typer.Option("--one-woman", help="It is one woman, or the flag is seen: all images stay.")] = False,
    keep: Annotated[
        int | None, typer.Option(help="Two women: only the images of this number of `conflicts show` stay.", show_default=False)
    ] = None,
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")] = "",
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Decide a conflict. Example: dosremc-node conflicts resolve 3 --keep 1 --reason 'wrong worklist entry'"""
    if one_woman == (keep is not None):
        raise typer.BadParameter("say either --one-woman or --keep")
    decided = resolve(existing_ledger(read_settings(config, options)), conflict, actor(), reason, keep)
    output.print(f"conflict {conflict} of {decided.study_id}: {decided.resolution}")
