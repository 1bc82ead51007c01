"""`dosremc-node demo-recalibration`: a fifth vendor appears, is taken in, gains from outcomes, and its software is upgraded.

The files answer: what the vendor is like (`vendor`), how its exams are simulated (`exams`), how most of them come into the ledger (`filling`) and
how outcomes do (`outcomes`), how the story goes (`story`), and how it is shown (`page`).
"""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    app.command("demo-recalibration")(demo_recalibration)


def demo_recalibration(
    *, build: Annotated[Path, typer.Option(help="The folder for everything that it makes.")] = Path("build/demo-recalibration")
) -> None:
    """Show how a new scanner is taken in and recalibrated, on this machine. Example: dosremc-node demo-recalibration"""
    from dosremc_node.cli.demo.recalibration.story import tell  # noqa: PLC0415 - it needs torch

    raise typer.Exit(tell(build))
