"""``messages``: what other systems sent by HL7 v2, and what became of it. What is shown identifies nobody."""

from __future__ import annotations

import typer

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
from dosremc_node.ledger.messages import message_counts, refused_messages


def register(app: typer.Typer) -> None:
    app.command()(messages)


def messages(*, as_json: JsonOption = False, config: ConfigOption = None, options: SetOption = None) -> None:
    """Show how many messages came, which were refused, and why. Example: dosremc-node messages"""
    ledger = existing_ledger(read_settings(config, options))
    counts, refused = message_counts(ledger), refused_messages(ledger)
    if as_json:
        rows = [{"type": kind, "state": state, "messages": count} for (kind, state), count in sorted(counts.items())]
        print_json({"counts": rows, "refused": refused})
        return
    print_table("", ("type", "state", "messages"), [(kind or "-", state, str(count)) for (kind, state), count in sorted(counts.items())])
    if refused:
        columns = ("message", "type", "sender", "times", "last came", "why it was refused")
        rows_refused = [
            (str(each.message_id), each.type, each.sender, str(each.times), local_time(each.last_received_at), each.reason)
            for each in refused
        ]
        print_table("", columns, rows_refused)
        output.print("A message that was refused is judged anew when its sender sends it again.")
