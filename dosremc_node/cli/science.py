"""``science``: the benchmark of all methods on simulated vendors."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TaskID

from dosremc_node.cli.common import console, output, print_table


class Size(StrEnum):
    """The presets' names."""

    STANDARD = "standard"
    QUICK = "quick"
    LARGE = "large"


def register(app: typer.Typer) -> None:
    app.command()(science)


def science(
    *,
    preset: Annotated[Size, typer.Option(help="How large.")] = Size.STANDARD,
    out: Annotated[Path, typer.Option(help="The folder for the results, and for what a stopped run goes on from.")] = Path("build/science"),
    processes: Annotated[int | None, typer.Option(min=1, help="Processes, a thread each.", show_default="one for each core")] = None,
) -> None:
    """Compare every method from every simulated vendor to every other. Example: dosremc-node science --preset quick"""
    # Imported here because nothing else may need torch.
    from dosremc_node.network.science import PRESETS, run_science  # noqa: PLC0415

    with Progress(console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def heard(what: str, share: float) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=1.0)
            progress.update(tasks[what], completed=share)

        results = run_science(PRESETS[preset], out, processes=processes or os.cpu_count() or 1, progress=heard)
    print_table("", ("hypothesis", "outcome"), [(verdict.hypothesis.says, verdict.words) for verdict in results.verdicts])
    output.print(f"{len(results.entries)} entries; begin with {results.folder / 'README.md'}")
