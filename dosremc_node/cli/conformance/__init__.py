"""``conformance``: the DICOM conformance statement, as the code has it."""

from __future__ import annotations

import typer

from dosremc_node.cli.conformance.statement import statement


def register(app: typer.Typer) -> None:
    app.command()(conformance)


def conformance() -> None:
    """Print the DICOM conformance statement (PS3.2). Example: dosremc-node conformance > deploy/CONFORMANCE.md"""
    typer.echo(statement(), nl=False)
