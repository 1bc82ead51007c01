"""The command line: ``dosremc-node serve | status | retry | reports | releases | send | fetch | simulate | train | doctor | demo``.

Each command stands in a file of its own and only says what it does; the rooms do it. Exit codes: 0 done, 1 something is
wrong and the output says what, 2 the command or a setting was wrong.
"""

from __future__ import annotations

import sys

import typer

from dosremc_node.cli import demo, diagnosis, modality, models, overview, retrieval, service
from dosremc_node.cli.common import console
from dosremc_node.errors import NodeError, UnknownSetting, WrongSetting

app = typer.Typer(
    name="dosremc-node",
    help="A DICOM node that scores mammograms with a bank of batch norm for each scanner domain. Research software: no clinical use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for room in (service, overview, models, modality, retrieval, diagnosis, demo):
    room.register(app)


def main() -> None:
    """Run the command that was typed; an error of ours is a sentence, not a traceback."""
    try:
        app()
    except (WrongSetting, UnknownSetting) as error:
        console.print(f"[bold red]wrong setting[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(2)
    except NodeError as error:
        console.print(f"[bold red]error[/] {error}", highlight=False, soft_wrap=True)
        sys.exit(1)
