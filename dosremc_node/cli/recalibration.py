"""``recalibrate``: the daemon, one run, what a run would do, and what the rules say of a history."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dosremc_node.cli.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    existing_ledger,
    local_time,
    print_json,
    print_table,
    read_settings,
)
from dosremc_node.ledger.recalibration_runs import RecalibrationRun, runs_of_window
from dosremc_node.monitoring import configure_logging
from dosremc_node.node import open_node
from dosremc_node.supervision import stop_on_signal

if TYPE_CHECKING:
    from dosremc_node.settings import Settings

# What needs torch is imported where it is used: `serve` and `status` run without it.

recalibrate = typer.Typer(invoke_without_command=True)


def register(app: typer.Typer) -> None:
    app.add_typer(recalibrate, name="recalibrate")


@recalibrate.callback()
def run(
    context: typer.Context,
    *,
    daemon: Annotated[bool, typer.Option("--daemon", help="Run by the schedule of the settings until it is stopped.")] = False,
    once: Annotated[bool, typer.Option("--once", help="Run now, and end.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what a run would do now. Nothing is written.")] = False,
    domain: Annotated[list[str] | None, typer.Option(help="Only this domain; may be repeated.", show_default="all")] = None,
    window: Annotated[str, typer.Option(help="The name of the window: each is run once in a domain.", show_default="today")] = "",
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Propose better banks and operating points. Example: dosremc-node recalibrate --dry-run

    What is proposed is judged and waits for an approver; see `dosremc-node releases proposals`.
    """
    if context.invoked_subcommand:
        return
    if not re.fullmatch(r"(\w[\w.-]{0,31})?", window, re.ASCII):
        raise typer.BadParameter("letters, digits, points and hyphens, at most 32 of them, are expected", param_hint="--window")
    if daemon + once + dry_run != 1:
        raise typer.BadParameter("say one of --daemon, --once, --dry-run, or a command such as replay")
    settings = read_settings(config, options)
    if dry_run:
        _say_what_a_run_would_do(settings, domain or [], as_json=as_json)
        return
    stop = stop_on_signal()
    configure_logging(settings.monitoring, "recalibrator")
    from dosremc_node.cli import recalibrator  # noqa: PLC0415
    from dosremc_node.recalibrating import chosen_domains, window_of  # noqa: PLC0415

    node = open_node(settings)
    if daemon:
        raise typer.Exit(recalibrator.run(node, stop, domain or []))
    recalibrator.give_way()
    chosen, window = chosen_domains(node, domain or []), window or window_of(datetime.now(UTC))
    recalibrator.run_once(node, chosen, window, stop)
    found = [each for each in runs_of_window(node.ledger, window) if each.domain in chosen]
    _print(found, as_json=as_json)
    raise typer.Exit(0 if len(found) == len(chosen) and not any(each.failed for each in found) else 1)


def _say_what_a_run_would_do(settings: Settings, named: list[str], *, as_json: bool) -> None:
    from dosremc_node.recalibrating import chosen_domains, prospects  # noqa: PLC0415

    existing_ledger(settings)  # what only looks must not make one
    node = open_node(settings)
    found = list(prospects(node, chosen_domains(node, named), datetime.now(UTC)))
    if as_json:
        print_json([{"domain": domain, "wish": wish} for domain, wish in found])
        return
    rows = [
        (domain, "", "", wish) if isinstance(wish, str) else (domain, wish.kind, wish.scanner_key, wish.why_not or "would be made")
        for domain, wish in found
    ]
    print_table("", ("domain", "change", "scanner", "what a run would do"), rows)


def _print(found: list[RecalibrationRun], *, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print_table(
        "",
        ("domain", "window", "ended", "outcome"),
        [(each.domain, each.window, local_time(each.finished_at), each.outcome) for each in found],
    )


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
