"""``recalibrate``: what the rules of recalibration say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dosremc_node.cli.common import JsonOption, print_json, print_table

recalibrate = typer.Typer(help="Recalibration: replay its rules on a history of scores.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(recalibrate, name="recalibrate")


@recalibrate.callback()
def _group() -> None:
    """Recalibration: replay its rules on a history of scores."""


@recalibrate.command("replay")
def replay_table(
    table: Annotated[
        Path, typer.Option(help="CSV with case_id, view_id, scanner_key, logit, label, label_state, date.", exists=True, dir_okay=False)
    ],
    plan: Annotated[Path | None, typer.Option(help="The change plan.", show_default="the one that came with the program")] = None,
    specificity: Annotated[
        float, typer.Option(min=0.01, max=0.99, help="Share of the reference's benign images below the first threshold.")
    ] = 0.9,
    seed: Annotated[int, typer.Option(help="The charts' limits are simulated; the same seed gives the same.")] = 0,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show what the rules would have done, month by month. Example: dosremc-node recalibrate replay --table scores.csv --json"""
    # Imported here because nothing else may need torch.
    from dosremc_node.recalibration import read_change_plan, read_score_table, replay  # noqa: PLC0415

    result = replay(read_score_table(table), read_change_plan(plan), specificity, seed)
    if as_json:
        print_json(result)
        return
    print_table(
        "",
        ("month", "scanner", "exams", "what", "rule", "numbers"),
        [
            (
                event.month,
                event.scanner_key,
                event.exams,
                event.what,
                event.rule,
                ", ".join(f"{k} {v:.3g}" for k, v in event.numbers.items()),
            )
            for event in result.events
        ],
    )
    print_table("", ("skipped, because a table of scores cannot show it",), [(rule,) for rule in result.skipped])
