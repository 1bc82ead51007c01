"""``reconcile``: which mammography studies the PACS has that the node has not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from dosremc_node import reconciling
from dosremc_node.cli.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    existing_ledger,
    local_time,
    output,
    print_json,
    print_table,
    read_settings,
)
from dosremc_node.ledger.reconciliation import Asked, asked, list_missing


def register(app: typer.Typer) -> None:
    app.command()(reconcile)


def reconcile(
    *,
    now: Annotated[bool, typer.Option("--now", help="Ask the PACS now, and fetch what is missing where the settings say so.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """List what the PACS has and the node has not: it identifies examinations. Exit code 1: something is missing.

    Example: dosremc-node reconcile --now
    """
    settings = read_settings(config, options)
    ledger = existing_ledger(settings)
    if now:
        settings.destination(settings.reconciliation.source)  # raises what is wrong with it
        reconciling.ask(ledger, settings, datetime.now(UTC))
        reconciling.fetch(ledger, settings, datetime.now(UTC))
    missing, last = list_missing(ledger), asked(ledger)
    if as_json:
        print_json({"asked": last, "missing": missing})
        raise typer.Exit(1 if missing else 0)
    for each in last:
        output.print(_in_words(each), markup=False, highlight=False)
    if missing:
        columns = ("study", "date", "there", "here", "fetched", "why not", "source")
        print_table(
            "",
            columns,
            [
                (each.study_instance_uid, each.study_date, each.images_there, each.images_here, each.fetches, each.failure, each.source)
                for each in missing
            ],
        )
    raise typer.Exit(1 if missing else 0)


def _in_words(last: Asked) -> str:
    if last.failure:
        return f"{last.source}: could not be asked: {last.failure}; next try {local_time(last.due_at)}"
    if last.asked_at is None:
        return f"{last.source}: not asked yet"
    return f"{last.source}: asked {local_time(last.asked_at)}, {last.studies} mammography studies; next time {local_time(last.due_at)}"
