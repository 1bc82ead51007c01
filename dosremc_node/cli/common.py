"""What every command shares: where settings come from, how a table or JSON is printed."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from dosremc_node.configuration import load
from dosremc_node.errors import LedgerMissing
from dosremc_node.ledger import Ledger
from dosremc_node.settings import Settings

_WIDTH_OF_A_PIPE = 240  # nobody wants rows folded in a file or in grep

console = Console(stderr=True)
output = Console(width=None if sys.stdout.isatty() else _WIDTH_OF_A_PIPE)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", "-c", envvar="DOSREMC_CONFIG", help="The settings, a TOML file (see config/node.toml).", show_default="none"),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="One setting, as section.key=value; may be repeated.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]


def read_settings(config: Path | None, options: Sequence[str] | None) -> Settings:
    """The settings of this call."""
    return load(config, options or ())


def existing_ledger(settings: Settings) -> Ledger:
    """The ledger as it is: a command that only looks must not make one. Raises `LedgerMissing`, `LedgerOutOfDate`."""
    ledger = Ledger.existing(settings.database.url)
    if ledger is None:
        raise LedgerMissing(url=settings.database.url)
    ledger.check_schema()
    return ledger


def print_json(value: object) -> None:
    """Records, and lists and mappings of them, as JSON on standard output."""
    output.print_json(json.dumps(plain(value)))


def plain(value: object) -> object:
    """Records, and lists and mappings of them, as what JSON knows."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(plain(key)): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, Enum):
        return value.value
    return value.isoformat() if isinstance(value, date) else value


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table for people."""
    table = Table(title=title, title_justify="left", header_style="bold", box=SIMPLE_HEAD, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(column, overflow="fold", no_wrap=place == 0)  # a name that is broken in two cannot be copied
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    output.print(table)


def local_time(moment: datetime | None) -> str:
    """A time as the clock on the wall shows it."""
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else ""


def actor() -> str:
    """Who types, for the audit trail."""
    return os.environ.get("SUDO_USER") or os.environ.get("USER") or "unknown"
