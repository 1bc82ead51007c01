"""``fetch``: get a study from the PACS and have it assessed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import typer
from rich.progress import Progress

from dosremc_node.cli.common import ConfigOption, SetOption, console, output, read_settings
from dosremc_node.errors import NothingFound
from dosremc_node.reception import FoundStudy, find_studies, move_study
from dosremc_node.settings import Destination, Settings


def register(app: typer.Typer) -> None:
    app.command()(fetch)


def fetch(
    *,
    source: Annotated[
        str | None, typer.Option("--from", help="The destination of the settings to fetch from.", show_default="the first")
    ] = None,
    study: Annotated[str | None, typer.Option(help="A Study Instance UID.")] = None,
    accession: Annotated[str | None, typer.Option(help="An accession number.")] = None,
    patient: Annotated[str | None, typer.Option(help="A patient ID.")] = None,
    date: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The study's date.")] = None,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Find studies on the PACS and have them sent to the running node, which must be known there by its AE title.

    Example: dosremc-node fetch --from pacs --accession 4711
    """
    if not (study or accession or patient or date):
        raise typer.BadParameter("say which study: --study, --accession, --patient or --date")
    settings = read_settings(config, options)
    first = settings.destinations[0].name if settings.destinations else ""
    peer = settings.destination(source or first)
    found = find_studies(
        peer,
        settings.node.ae_title,
        study_instance_uid=study,
        accession_number=accession,
        patient_id=patient,
        study_date=date.date() if date else None,
    )
    if not found:
        raise NothingFound(peer=peer.name)
    failed = sum(_move(peer, settings, each) for each in found)
    output.print(
        f"{len(found)} studies sent by {peer.name} to {settings.node.ae_title}, {failed} objects failed; `dosremc-node status` shows what becomes of them"
    )
    raise typer.Exit(1 if failed else 0)


def _move(peer: Destination, settings: Settings, found: FoundStudy) -> int:
    """Have one study moved; answers how many of its objects failed."""
    failed = 0
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("fetching", total=found.images)
        for state in move_study(peer, settings.node.ae_title, settings.node.ae_title, found.study_instance_uid):
            failed = state.failed
            progress.update(task, completed=state.completed + state.failed + state.warning)
    return failed
