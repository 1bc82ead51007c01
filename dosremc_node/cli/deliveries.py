"""``deliveries``: what a person decides of documents that do not get where they should."""

from __future__ import annotations

from typing import Annotated

import typer

from dosremc_node.cli.common import ConfigOption, SetOption, actor, existing_ledger, output, read_settings
from dosremc_node.ledger.deliveries import give_up
from dosremc_node.ledger.overview import find_study
from dosremc_node.records import StudyId

deliveries = typer.Typer(help="Documents on their way: give up those that will never arrive.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(deliveries, name="deliveries")


@deliveries.callback()
def _group() -> None:
    """Keep `give-up` a command of its own: a lone one would be the group itself."""


@deliveries.command("give-up")
def give_up_deliveries(
    destination: Annotated[str, typer.Argument(help="The destination's name; it may be gone from the settings.")],
    *,
    reason: Annotated[str, typer.Option(help="Why, for the audit trail.")],
    study: Annotated[
        str | None,
        typer.Option(help="One study only: its name in the ledger (S-...) or its Study Instance UID.", show_default="all of them"),
    ] = None,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Deliver nothing more of what a destination has not got. Example: dosremc-node deliveries give-up old-pacs --reason retired"""
    ledger = existing_ledger(read_settings(config, options))
    study_id = (find_study(ledger, study) or StudyId(study)) if study else None
    count = give_up(ledger, destination, study_id, actor(), reason)
    output.print(f"{count} documents for {destination} are given up" if count else f"nothing is on its way to {destination}")
