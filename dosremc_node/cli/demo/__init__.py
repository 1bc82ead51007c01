"""`dosremc-node demo`: a modality, the node and a PACS on this machine, and what became of every study that was sent.

The files answer: what is sent (`exams`), how the node is started (`node`), how it all goes (`run`), what the PACS has at
the end (`fetching`), and how it is shown (`page`).
"""

from pathlib import Path
from typing import Annotated

import typer

from dosremc_node.cli.demo.run import demo as run_demo

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    app.command()(demo)


def demo(*, build: Annotated[Path, typer.Option(help="The folder for everything that it makes.")] = Path("build/demo")) -> None:
    """Show the whole way of real and simulated exams on this machine. Example: dosremc-node demo"""
    raise typer.Exit(run_demo(build))
