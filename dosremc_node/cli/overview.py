"""``status``, ``retry`` and ``reports``: what became of the studies."""

from __future__ import annotations

from datetime import UTC, datetime
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
from dosremc_node.cli.proposals import print_proposals, proposals_to_show
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.drift import alarms
from dosremc_node.ledger.labels import label_counts
from dosremc_node.ledger.outcome_tables import OutcomeState
from dosremc_node.ledger.outcomes import outcome_counts
from dosremc_node.ledger.overview import StudyOverview, delivery_counts, find_study, list_reports, list_studies, study_counts
from dosremc_node.ledger.recalibration_runs import latest_runs
from dosremc_node.ledger.reconciliation import missing_counts
from dosremc_node.ledger.revisions import drive_again
from dosremc_node.ledger.shadows import withheld
from dosremc_node.ledger.states import StudyState
from dosremc_node.records import Domain, LabelRules, LabelState, StudyId

_SHOWN_BY_DEFAULT = (StudyState.RECEIVING, StudyState.ASSESSING, StudyState.DELIVERING, StudyState.PARKED)


def register(app: typer.Typer) -> None:
    app.command()(status)
    app.command()(retry)
    app.command()(reports)


def status(
    *,
    all_studies: Annotated[bool, typer.Option("--all", help="Finished studies too.")] = False,
    study: Annotated[str | None, typer.Option(help="One study, by its Study Instance UID or its name in the ledger.")] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Show studies by state, and what is parked and why. Example: dosremc-node status --all"""
    settings = read_settings(config, options)
    ledger = existing_ledger(settings)
    counts = study_counts(ledger)
    rows = [row for row in list_studies(ledger) if all_studies or study or row.state in _SHOWN_BY_DEFAULT or row.missing or row.conflicts]
    if study:
        name = find_study(ledger, study) or study
        rows = [row for row in rows if row.study_id == name]
    if as_json:
        deliveries = {f"{destination} {state}": count for (destination, state), count in delivery_counts(ledger).items()}
        outcomes = {"outcomes": outcome_counts(ledger), "labels": _labels(ledger, settings.outcomes.label_rules)}
        print_json(
            {
                "counts": counts,
                "deliveries": deliveries,
                **outcomes,
                "drift_alarms": alarms(ledger),
                "recalibration": latest_runs(ledger),
                "proposals": proposals_to_show(ledger),
                "withheld": list(withheld(ledger).values()),
                "studies": rows,
            }
        )
        return
    output.print("studies: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
    for (destination, state), count in delivery_counts(ledger).items():
        output.print(f"documents for {destination}: {count} {state}")
    for source, count in missing_counts(ledger).items():
        if count:
            output.print(f"{source} has {count} studies that are missing here: see `dosremc-node reconcile`", markup=False)
    _print_outcomes(ledger, settings.outcomes.label_rules)
    for alarm in alarms(ledger):
        output.print(f"drift: {alarm.kind} of {alarm.scanner_key} since {alarm.taken_on}: see `dosremc-node drift`", markup=False)
    for run in latest_runs(ledger):
        output.print(f"recalibration of {run.domain}, {run.window}: {run.outcome or 'under way'}", markup=False, soft_wrap=True)
    print_proposals(ledger)
    if rows:
        print_table("", ("study", "state", "images", "revision", "domain", "last image"), [_row(row) for row in rows])
    for row in rows:
        _print_what_needs_a_person(row)


def _print_outcomes(ledger: Ledger, rules: LabelRules) -> None:
    counts = outcome_counts(ledger)
    if not any(counts.values()):
        return
    output.print("outcomes: " + ", ".join(f"{count} {state}" for state, count in counts.items() if count))
    if counts[OutcomeState.REVIEW]:
        output.print(f"{counts[OutcomeState.REVIEW]} outcomes wait for a person: see `dosremc-node outcomes review`")
    for domain, states in _labels(ledger, rules).items():
        output.print(f"breasts of {domain or 'no domain'}: " + ", ".join(f"{count} {state}" for state, count in states.items()))


def _labels(ledger: Ledger, rules: LabelRules) -> dict[Domain, dict[LabelState, int]]:
    """How many breasts have each label, by domain."""
    counts = label_counts(ledger, rules, datetime.now(UTC))
    found: dict[Domain, dict[LabelState, int]] = {}
    for (domain, state), count in counts.items():
        found.setdefault(domain, {})[state] = count
    return found


def _print_what_needs_a_person(row: StudyOverview) -> None:
    if row.missing:
        output.print(
            f"{row.study_id}: {row.missing} images are not on the disk any more: send the study again", highlight=False, soft_wrap=True
        )
    for conflict in row.conflicts:
        output.print(f"{row.study_id}, {conflict}", highlight=False, soft_wrap=True)
    if row.reason:
        output.print(f"{row.study_id} is parked: {row.reason}", highlight=False, soft_wrap=True, markup=False)


def _row(row: StudyOverview) -> tuple[object, ...]:
    images = f"{row.images}"
    images += f", {row.variants} variants" if row.variants else ""
    images += f", {row.quarantined} quarantined" if row.quarantined else ""
    images += f", {row.withdrawn} withdrawn" if row.withdrawn else ""
    images += f", {row.removed} removed" if row.removed else ""
    images += f", {row.missing} missing" if row.missing else ""
    return row.study_id, row.state, images, row.revision, row.domain, local_time(row.last_received_at)


def retry(
    study: Annotated[
        str, typer.Argument(help="The study's name in the ledger (S-...), its Study Instance UID, or 'all' for everything parked.")
    ],
    *,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Put parked studies back to work. Example: dosremc-node retry S-7KQ2M9XB4D3F"""
    ledger = existing_ledger(read_settings(config, options))
    parked = [row.study_id for row in list_studies(ledger, [StudyState.PARKED])]
    names = parked if study == "all" else [find_study(ledger, study) or StudyId(study)]
    driven = sum(drive_again(ledger, name, actor()) for name in names)
    output.print(f"{driven} parked revisions are due again" if driven else "nothing of it can be put back to work")


def reports(
    study: Annotated[str | None, typer.Argument(help="One study only: its name in the ledger or its Study Instance UID.")] = None,
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Say for every report ever sent what made it, and where it went. Example: dosremc-node reports --json"""
    ledger = existing_ledger(read_settings(config, options))
    rows = list_reports(ledger, (find_study(ledger, study) or StudyId(study)) if study else None)
    if as_json:
        print_json(rows)
        return
    columns = (
        "study",
        "revision",
        "document",
        "description",
        "release",
        "domain",
        "bank",
        "threshold",
        "destination",
        "state",
        "status",
        "delivered",
    )
    print_table(
        "",
        columns,
        [
            (
                row.study_id,
                row.revision,
                row.kind,
                row.description,
                row.release_id,
                row.domain,
                row.bank_sha256[:12],
                row.threshold,
                row.destination,
                row.state,
                "" if row.status is None else f"0x{row.status:04X}",
                local_time(row.delivered_at),
            )
            for row in rows
        ],
    )
