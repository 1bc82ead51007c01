"""The command line: ``dosremc-node serve | status | retry | reports | deliveries | releases | data | train | adapt | evaluate | drift | recalibrate | fetch |
reconcile | conflicts | patients | messages | outcomes | send | simulate | science | doctor | audit | backup | restore | conformance | demo``.

Each command stands in a file of its own and only says what it does; the rooms do it. Exit codes: 0 done, 1 something is
wrong and the output says what, 2 the command or a setting was wrong.
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from typing import cast

import structlog
import typer
from rich.console import Console
from typer.core import TyperCommand, TyperGroup

from dosremc_node.errors import NodeError, UnknownSetting, WrongSetting

_FILES = {
    "serve": "service",
    "status": "overview",
    "retry": "overview",
    "reports": "overview",
    "deliveries": "deliveries",
    "releases": "models",
    "data": "datasets",
    "train": "learning",
    "adapt": "learning",
    "evaluate": "learning",
    "drift": "drift",
    "recalibrate": "recalibration",
    "fetch": "retrieval",
    "reconcile": "reconcile",
    "conflicts": "conflicts",
    "patients": "patients",
    "messages": "received",
    "outcomes": "outcomes",
    "send": "modality",
    "simulate": "modality",
    "science": "science",
    "doctor": "diagnosis",
    "audit": "audit",
    "backup": "backup",
    "restore": "backup",
    "conformance": "conformance",
    "demo": "demo",
    "demo-recalibration": "demo.recalibration",
}


class _Commands(TyperGroup):
    """Imports a command's file when it is typed: `status` need not wait for what only `serve` needs."""

    def list_commands(self, ctx: object) -> list[str]:  # noqa: ARG002 - the library's signature
        return list(_FILES)

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand | TyperGroup | None:  # noqa: ARG002
        if cmd_name not in _FILES:
            return None
        of_this_file = typer.Typer()
        of_this_file.callback()(lambda: None)
        import_module(f"{__name__}.{_FILES[cmd_name]}").register(of_this_file)
        return cast("TyperCommand | TyperGroup", typer.main.get_group(of_this_file).commands[cmd_name])


app = typer.Typer(
    cls=_Commands,
    name="dosremc-node",
    help="A DICOM node that scores mammograms with a bank of batch norm for each scanner domain. Research software: no clinical use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.callback()(lambda: None)


def main() -> None:
    """Run the command that was typed; an error of ours is a sentence, not a traceback."""
    console = Console(stderr=True)
    # Standard output is the command's answer; `serve` sets up a log of its own.
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR), logger_factory=structlog.PrintLoggerFactory(sys.stderr)
    )
    try:
        app()
    except (WrongSetting, UnknownSetting) as error:
        console.print(f"[bold red]wrong setting[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except NodeError as error:
        console.print(f"[bold red]error[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(1)
