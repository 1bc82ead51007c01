"""``releases proposals | show | approve | reject | rollback | withheld | withhold | lift``: what wants in, and the way back."""

from __future__ import annotations

import json
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
from dosremc_node.delivery import refuse_clinical_use
from dosremc_node.ledger import Ledger, shadows
from dosremc_node.ledger.proposals import WAITING, Proposal, end_proposal, get_proposal, list_proposals
from dosremc_node.ledger.states import ProposalState
from dosremc_node.records import Domain
from dosremc_node.releases import default_shelf
from dosremc_node.releases.rollback import roll_back
from dosremc_node.settings import Settings

ReasonOption = Annotated[str, typer.Option(help="Why, in a sentence: it stands in the audit trail.")]
ProposalArgument = Annotated[str, typer.Argument(help="The proposal's name, such as p-3kq6zv2h7mda.")]


def register(releases: typer.Typer) -> None:
    for command in (proposals, show, approve, reject, rollback, withheld, withhold, lift):
        releases.command()(command)


def proposals(
    *,
    all_of_them: Annotated[bool, typer.Option("--all", help="Those that were refused, promoted or withdrawn too.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """List the proposals that wait for a person. Example: dosremc-node releases proposals --all"""
    found = list_proposals(existing_ledger(read_settings(config, options)), () if all_of_them else WAITING)
    if as_json:
        print_json([_facts(each) for each in found])
        return
    columns = ("proposal", "kind", "domain", "scanner", "window", "changes", "state", "why")
    print_table(
        "",
        columns,
        [
            (each.proposal_id, each.kind, each.domain, each.scanner_key, each.window, each.parent_release, each.state, each.reason)
            for each in found
        ],
    )


def show(proposal: ProposalArgument, *, as_json: JsonOption = False, config: ConfigOption = None, options: SetOption = None) -> None:
    """Show a proposal: what it changes, what the gate found, where its report lies. Example: dosremc-node releases show p-3kq6zv2h7mda"""
    settings = read_settings(config, options)
    ledger = existing_ledger(settings)
    found = get_proposal(ledger, proposal)
    in_shadow, report = len(shadows.shadow_exams(ledger, proposal)), _report(settings, proposal)
    if as_json:
        print_json(_facts(found) | {"exams_in_shadow": in_shadow, "report": str(report)})
        return
    lines = [
        ("change", f"{found.kind} of {found.domain}" + (f", scanner {found.scanner_key}" if found.scanner_key else "")),
        ("window", found.window),
        ("of the release", found.parent_release),
        ("becomes", found.release_id),
        ("state", f"{found.state}: {found.reason}"),
        ("proposed", f"{local_time(found.proposed_at)} by {found.proposer}"),
        ("approved", f"{local_time(found.approved_at)} by {found.approver}" if found.approved_at else ""),
        ("in force", local_time(found.promoted_at)),
        ("exams in shadow", in_shadow or ""),
        ("report", report),
    ]
    print_table("", ("", found.proposal_id), [line for line in lines if line[1]])
    numbers = json.loads(found.decision)["numbers"]
    print_table("", ("the gate found", ""), [(name.replace("_", " "), f"{value:.4g}") for name, value in numbers.items()])


def approve(
    proposal: ProposalArgument,
    *,
    approver: Annotated[str, typer.Option(help="Who answers for it, by name: the release and every report of it name them.")],
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Put a proposal in force as a new release. Example: dosremc-node releases approve p-3kq6zv2h7mda --approver 'Dr A. Physicist'"""
    # Imported here because nothing else may need torch.
    from dosremc_node.recalibration.change_plan import read_change_plan  # noqa: PLC0415
    from dosremc_node.recalibration.promotion import approve as put_in_force  # noqa: PLC0415
    from dosremc_node.recalibration.proposing import site_of  # noqa: PLC0415

    settings = read_settings(config, options)
    ledger = existing_ledger(settings)
    parent = default_shelf(settings.releases).load(get_proposal(ledger, proposal).parent_release).release
    for destination in settings.destinations:
        refuse_clinical_use(parent, destination)
    site = site_of(ledger, settings, read_change_plan(settings.recalibration.change_plan_file))
    promoted = put_in_force(site, proposal, approver, actor(), datetime.now(UTC))
    output.print(f"{promoted.release_id} is in force for every study that is opened from now on")


def reject(proposal: ProposalArgument, *, reason: ReasonOption, config: ConfigOption = None, options: SetOption = None) -> None:
    """Refuse a proposal that waits. Example: dosremc-node releases reject p-3kq6zv2h7mda --reason 'the unit is being serviced'"""
    ledger = existing_ledger(read_settings(config, options))
    end_proposal(ledger, proposal, ProposalState.REFUSED, actor=actor(), reason=reason, now=datetime.now(UTC))
    output.print(f"{proposal} is refused; its window proposes no more")


def rollback(
    *,
    reason: ReasonOption,
    to: Annotated[str | None, typer.Option(help="A release that the one in force came from.", show_default="its parent")] = None,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Put the parent of the release in force back in force. Example: dosremc-node releases rollback --reason 'recall doubled'"""
    settings = read_settings(config, options)
    ledger, shelf = existing_ledger(settings), default_shelf(settings.releases)
    target, undone = roll_back(ledger, shelf, actor=actor(), reason=reason, now=datetime.now(UTC), to=to)
    output.print(f"{target} is in force for every study that is opened from now on")
    for each in undone:
        output.print(f"rolled back: {each.proposal_id}, {each.kind} of {each.domain}")


# --- Domains that are not shown ---------------------------------------------------------------------------------------


def withheld(*, as_json: JsonOption = False, config: ConfigOption = None, options: SetOption = None) -> None:
    """List the domains that are scored and not shown. Example: dosremc-node releases withheld"""
    found = shadows.withheld(existing_ledger(read_settings(config, options))).values()
    if as_json:
        print_json(list(found))
        return
    print_table("", ("domain", "since", "by", "why"), [(each.domain, local_time(each.since), each.actor, each.reason) for each in found])


def withhold(domain: str, *, reason: ReasonOption, config: ConfigOption = None, options: SetOption = None) -> None:
    """Have a domain scored and not shown. Example: dosremc-node releases withhold hologic --reason 'after the service visit'"""
    ledger = existing_ledger(read_settings(config, options))
    new = shadows.withhold(ledger, Domain(domain), reason, actor(), datetime.now(UTC))
    output.print(f"{domain} is {'' if new else 'already '}withheld: its studies are scored, and reported as not assessed")


def lift(domain: str, *, config: ConfigOption = None, options: SetOption = None) -> None:
    """Have a domain that was withheld shown again. Example: dosremc-node releases lift hologic"""
    shadows.lift(existing_ledger(read_settings(config, options)), Domain(domain), actor(), datetime.now(UTC))
    output.print(f"{domain} is shown again, in every study that is opened from now on")


# --- What `status` shows of them --------------------------------------------------------------------------------------


def proposals_to_show(ledger: Ledger) -> list[dict[str, object]]:
    """Those that wait, and what came last of each domain, in JSON's terms."""
    latest: dict[str, Proposal] = {}
    for each in list_proposals(ledger):
        latest.setdefault(each.proposal_id if each.state in WAITING else f"latest of {each.domain}", each)
    return [_facts(each) for each in latest.values()]


def print_proposals(ledger: Ledger) -> None:
    """The same in lines, and which domains are not shown."""
    for each in proposals_to_show(ledger):
        line = f"proposal {each['proposal_id']}, {each['kind']} of {each['domain']}, {each['window']}: {each['state']}, {each['reason']}"
        output.print(line, markup=False, soft_wrap=True)
    for domain in shadows.withheld(ledger).values():
        since = local_time(domain.since)
        output.print(f"{domain.domain} is scored and not shown since {since}: {domain.reason}", markup=False, soft_wrap=True)


def _facts(proposal: Proposal) -> dict[str, object]:
    return {each: getattr(proposal, each) for each in Proposal.__dataclass_fields__} | {"decision": json.loads(proposal.decision)}


def _report(settings: Settings, proposal: str) -> Path | None:
    if settings.releases.folder is None:
        return None
    return settings.releases.folder / ".proposals" / proposal / "report.html"
