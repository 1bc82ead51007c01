"""``releases``: which models there are, and which is in force."""

from __future__ import annotations

import typer

from dosremc_node.cli import proposals
from dosremc_node.cli.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    actor,
    existing_ledger,
    output,
    print_json,
    print_table,
    read_settings,
)
from dosremc_node.delivery import refuse_clinical_use
from dosremc_node.errors import OnlyByApproval
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.proposals import proposal_of_release
from dosremc_node.ledger.releases import put_in_force, release_in_force
from dosremc_node.ledger.states import ProposalState
from dosremc_node.releases import default_shelf

releases = typer.Typer(help="Model releases: what is there, what is in force, what is proposed, and the way back.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    proposals.register(releases)
    app.add_typer(releases, name="releases")


@releases.command("list")
def list_releases(*, as_json: JsonOption = False, config: ConfigOption = None, options: SetOption = None) -> None:
    """List the releases. Example: dosremc-node releases list"""
    settings = read_settings(config, options)
    shelf = default_shelf(settings.releases)
    ledger = Ledger.existing(settings.database.url)
    in_force = (release_in_force(ledger) if ledger else None) or settings.releases.initial
    found = [shelf.load(name).release for name in shelf.names()]
    if as_json:
        print_json([{"in_force": release.release_id == in_force, "release": release} for release in found])
        return
    columns = ("release", "in force", "parent", "domains", "filters", "made", "approver", "statement")
    print_table(
        "",
        columns,
        [
            (
                release.release_id,
                "yes" if release.release_id == in_force else "",
                release.parent,
                ", ".join(sorted(release.banks)),
                release.filters_sha256[:12],
                f"{release.created:%Y-%m-%d}",
                release.approver,
                release.statement,
            )
            for release in found
        ],
    )


@releases.command()
def promote(release_id: str, *, config: ConfigOption = None, options: SetOption = None) -> None:
    """Put a release in force that was made elsewhere; open revisions keep theirs. Example: dosremc-node releases promote demonstration

    One that was made of a proposal here is put in force by `dosremc-node releases approve`.
    """
    settings = read_settings(config, options)
    shelf = default_shelf(settings.releases)
    shelf.verify(release_id)
    release = shelf.load(release_id).release
    for destination in settings.destinations:
        refuse_clinical_use(release, destination)
    ledger = existing_ledger(settings)
    made_of = proposal_of_release(ledger, release_id)
    if made_of is not None and made_of.state is not ProposalState.PROMOTED:
        raise OnlyByApproval(release=release_id, proposal=made_of.proposal_id, state=made_of.state)
    put_in_force(ledger, release_id, actor())
    output.print(f"{release_id} is in force for every study that is opened from now on")


@releases.command()
def verify(release_id: str, *, config: ConfigOption = None, options: SetOption = None) -> None:
    """Read a release anew and compare every digest. Example: dosremc-node releases verify demonstration"""
    default_shelf(read_settings(config, options).releases).verify(release_id)
    output.print(f"{release_id}: every digest is as the manifest says")
