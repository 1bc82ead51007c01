"""``audit``: read the trail, and verify that nothing was changed in it, removed from it or cut off its end."""

from __future__ import annotations

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
from dosremc_node.errors import AnchorsUnreadable
from dosremc_node.ledger import audit
from dosremc_node.ledger.audit import Anchor
from dosremc_node.monitoring.audit_messages import READ_TRAIL
from dosremc_node.monitoring.audit_sinks import read_anchors


def register(app: typer.Typer) -> None:
    group = typer.Typer(help="Read the audit trail, and verify it.", no_args_is_help=True)
    group.command()(verify)
    group.command(name="list")(list_entries)
    app.add_typer(group, name="audit")


def verify(
    *,
    anchors: Annotated[
        list[Path] | None,
        typer.Option(help="A file with anchors, such as what the syslog server wrote; may be repeated.", show_default=False),
    ] = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Say whether the trail is whole. Exit code 1 where it is not. Example: dosremc-node audit verify --anchors /mnt/elsewhere/dosremc.anchors"""
    settings = read_settings(config, options)
    ledger = existing_ledger(settings)
    own = [settings.audit.anchors_file] if settings.audit.anchors_file else []
    known = [anchor for path in [*own, *(anchors or [])] for anchor in _read(path)]
    found = audit.faults(ledger, known)
    rows = audit.last_sequence(ledger)
    if as_json:
        print_json({"rows": rows, "anchors": len(known), "faults": found})
    else:
        for fault in found:
            output.print(f"[bold red]wrong[/] {fault.what}", highlight=False)
        if not found:
            held = f"{len(known)} anchors" if known else "no anchor: that its end was cut off would not show"
            output.print(f"[green]good[/] {rows} rows are whole, by their chain and {held}", highlight=False)
    raise typer.Exit(1 if found else 0)


def _read(path: Path) -> list[Anchor]:
    try:
        return list(read_anchors(path))
    except OSError as error:
        raise AnchorsUnreadable(path=path, why=error.strerror) from None


def list_entries(
    *,
    after: Annotated[int, typer.Option(help="Only rows after this number.", min=0)] = 0,
    limit: Annotated[int, typer.Option(help="At most so many rows.", min=1)] = 1000,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Print rows of the trail, which is itself entered there. Example: dosremc-node audit list --after 4000"""
    ledger = existing_ledger(read_settings(config, options))
    audit.record(ledger, actor(), READ_TRAIL, f"after {after}", {"limit": limit})
    rows = audit.entries(ledger, after, limit)
    if as_json:
        print_json(rows)
        return
    print_table(
        "",
        ("row", "time", "who", "what", "of", "how"),
        [(r.sequence, local_time(r.at), r.actor, r.action, r.subject, dict(r.detail)) for r in rows],
    )
