"""``drift``: whether each scanner still scores as it did; its references and its alarms."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from dosremc_node.cli.common import (
    ConfigOption,
    JsonOption,
    SetOption,
    actor,
    console,
    existing_ledger,
    local_time,
    output,
    print_json,
    print_table,
    read_settings,
)
from dosremc_node.drift import KeyReport, Scanner, look_at, report
from dosremc_node.drift.realised import KnownBreasts, known_breasts, performance_of, recall
from dosremc_node.errors import NodeError, NotMeasurable, NotWatched
from dosremc_node.evaluation import Estimate, Realised, Values
from dosremc_node.ledger import Ledger
from dosremc_node.ledger.drift import alarms, seen_keys, settle
from dosremc_node.ledger.labels import Label, labels
from dosremc_node.records import Laterality, StudyId
from dosremc_node.releases import default_shelf
from dosremc_node.settings import Settings
from dosremc_node.watching import freeze_reference, serving

drift = typer.Typer(help="Whether each scanner still scores as it did: figures, plots, references, alarms.")
ScannerOption = Annotated[
    str | None, typer.Option("--scanner", help="One scanner key, as `drift` prints it: manufacturer / model / software version.")
]


def register(app: typer.Typer) -> None:
    app.add_typer(drift, name="drift")


@dataclass(frozen=True, slots=True)
class RealisedPerformance:
    """What became of a scanner's scores. ``figures`` is None where too little is known yet, and then ``why`` says how little."""

    recall: Estimate
    figures: Realised | None
    why: str = ""


@drift.callback(invoke_without_command=True)
def show(
    context: typer.Context,
    scanner: ScannerOption = None,
    out: Annotated[Path | None, typer.Option(help="A folder for plots, made where it is missing.", file_okay=False)] = None,
    *,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Show what is told of each scanner, without labels and with them. Example: dosremc-node drift --out drift"""
    if context.invoked_subcommand:
        return
    settings = read_settings(config, options)
    ledger = existing_ledger(settings)
    known = _labels(ledger, settings)
    looked = [_look(ledger, settings, key) for key in _chosen(ledger, scanner)]
    reports = [(each, report(each, settings.drift.recent_exams)) for each in looked if each is not None]
    realised = {found.scanner_key: _realised(each, known) for each, found in reports}
    if out is not None:
        for each, found in reports:
            _draw(out, each, found, known_breasts(each.exams, known, each.serving.point))
    if as_json:
        print_json([{"without_labels": found, "with_labels": realised[found.scanner_key]} for _, found in reports])
        return
    _print([found for _, found in reports], realised)
    _print_alarms(ledger)


def _chosen(ledger: Ledger, scanner: str | None) -> list[str]:
    keys = list(dict.fromkeys(seen.scanner_key for seen in seen_keys(ledger)))
    if scanner is not None and scanner not in keys:
        raise NotWatched(scanner_key=scanner)
    return [scanner] if scanner is not None else keys


def _look(ledger: Ledger, settings: Settings, scanner_key: str) -> Scanner | None:
    """None, and a line for people, where the release that scored it cannot be read any more."""
    try:
        return look_at(ledger, serving(ledger, default_shelf(settings.releases), scanner_key))
    except NodeError as error:
        console.print(f"{scanner_key}: {error}", markup=False, soft_wrap=True)
        return None


def _labels(ledger: Ledger, settings: Settings) -> Mapping[tuple[StudyId, Laterality], Label]:
    return labels(ledger, settings.outcomes.label_rules, datetime.now(UTC))


def _realised(scanner: Scanner, known: Mapping[tuple[StudyId, Laterality], Label]) -> RealisedPerformance:
    point, flagged = scanner.serving.point, recall(scanner.exams)
    try:
        return RealisedPerformance(flagged, performance_of(known_breasts(scanner.exams, known, point), point))
    except NotMeasurable as error:
        return RealisedPerformance(flagged, None, str(error))


_SCORES = ("scanner", "domain", "exams", "reference", "flagged", "PSI", "KS", "charts", "images", "bank distance", "verdict")
_PROMISED = ("scanner", "expected AUC", "expected sensitivity", "malignant per 1000", "age", "views", "not assessed")
_BECAME = ("scanner", "recall", "breasts", "malignant", "AUC", "sensitivity", "specificity", "intercept", "slope", "expected/observed")


# --- For people -------------------------------------------------------------------------------------------------------


def _print(reports: Sequence[KeyReport], realised: Mapping[str, RealisedPerformance]) -> None:
    _table("Scores, without labels", _SCORES, [_row(found) for found in reports])
    for found in reports:
        output.print(f"{found.scanner_key}: {found.verdict.kind}: {found.verdict.why}", markup=False, soft_wrap=True)
    _table("What the calibration promises, and the mix", _PROMISED, [_mix(found) for found in reports])
    _table("What became of them", _BECAME, [_became(key, each) for key, each in realised.items() if each.figures])
    for key, each in realised.items():
        if not each.figures:
            output.print(f"{key}: recall {each.recall}; no performance yet: {each.why}", markup=False, soft_wrap=True)


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    if rows:
        print_table(title, columns, rows)


def _row(found: KeyReport) -> tuple[object, ...]:
    numbers = found.verdict.numbers
    frozen = f"{found.reference['exams']} to {found.reference['last_taken_on']}" if found.reference else "none"
    charts = ", ".join(
        f"{kind} {each.sum / each.limit:.2f}{' ALARM' if each.alarm is not None else ''}" for kind, each in found.charts.items()
    )
    distance = max((each.larger for each in found.layers.values()), default=None)
    psi, gap = (f"{numbers[name]:.3f}" if name in numbers else "" for name in ("psi", "ks"))
    flagged = f"{found.flagged:.3f}" + (f" (was {numbers['reference_flagged']:.3f})" if "reference_flagged" in numbers else "")
    shadow = " in shadow" if found.in_shadow == 1 else ""
    bank = "" if distance is None else f"{distance:.2f}"
    exams = f"{found.exams}{shadow}"
    return found.scanner_key, found.domain, exams, frozen, flagged, psi, gap, charts, found.images_measured, bank, found.verdict.kind


def _mix(found: KeyReport) -> tuple[object, ...]:
    views = ", ".join(f"{view} {share:.2f}" for view, share in found.views.items())
    left_out = "; ".join(f"{share:.1%} {reason}" for reason, share in found.left_out.items())
    ages = f"{found.ages['50%']:.0f} ({found.ages['5%']:.0f} to {found.ages['95%']:.0f})" if found.ages else "unknown"
    if found.expected is None:
        return found.scanner_key, "", "", "", ages, views, left_out
    expected = [f"{each.value:.3f} ({each.low:.3f} to {each.high:.3f})" for each in (found.expected.roc_auc, found.expected.sensitivity)]
    return found.scanner_key, *expected, f"{found.expected.malignant_per_1000.value:.1f}", ages, views, left_out


def _became(key: str, each: RealisedPerformance) -> tuple[object, ...]:
    figures = each.figures
    if figures is None:
        return (key, each.recall)
    told = (figures.roc_auc, figures.sensitivity, figures.specificity, figures.calibration_intercept, figures.calibration_slope)
    return key, each.recall, figures.cases, figures.malignant, *told, figures.expected_over_observed


def _print_alarms(ledger: Ledger) -> None:
    for each in alarms(ledger):
        told = f"alarm {each.alarm_id}: {each.kind} of {each.scanner_key} on {each.taken_on}: {each.detail.get('why', '')}"
        output.print(told, markup=False, soft_wrap=True)


# --- Plots ------------------------------------------------------------------------------------------------------------


def _draw(folder: Path, scanner: Scanner, found: KeyReport, known: KnownBreasts) -> None:
    # Imported here because a table needs no plots.
    from dosremc_node.drift.plots import draw_charts, draw_layers, draw_mix, draw_scores  # noqa: PLC0415
    from dosremc_node.evaluation import sigmoid  # noqa: PLC0415
    from dosremc_node.evaluation.plots import draw_reliability  # noqa: PLC0415

    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^A-Za-z0-9.]+", "-", found.scanner_key).strip("-")
    if found.exams:
        draw_scores(folder / f"{name}-scores.png", scanner)
    if found.charts:
        draw_charts(folder / f"{name}-charts.png", scanner)
    if found.layers:
        draw_layers(folder / f"{name}-layers.png", found)
    draw_mix(folder / f"{name}-mix.png", found, _ages(scanner, found.recent_exams))
    if known.malignant.any():
        title = f"{found.scanner_key}\n{len(known.malignant)} breasts, {int(known.malignant.sum())} malignant"
        draw_reliability(folder / f"{name}-calibration.png", title, {"realised": (sigmoid(known.logits), known.malignant)})


def _ages(scanner: Scanner, recent: int) -> Mapping[str, Values]:
    periods = {"reference": scanner.reference, "recent": scanner.recent(recent)}
    return {name: each.ages[~np.isnan(each.ages)] for name, each in periods.items() if each is not None}


# --- What a person does -----------------------------------------------------------------------------------------------


@drift.command("freeze")
def freeze_command(
    scanner: Annotated[str, typer.Option(help="The scanner key, as `drift` prints it.")],
    *,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Freeze a scanner's latest exams as its reference: it is well now. Example: dosremc-node drift freeze --scanner 'Maker / Model / 1.0'"""
    settings = read_settings(config, options)
    ledger = existing_ledger(settings)
    found = look_at(ledger, serving(ledger, default_shelf(settings.releases), scanner))
    kept = freeze_reference(ledger, found, found.exams[-settings.drift.reference_exams :], settings.drift, actor())
    output.print(f"{kept.exams} exams of {kept.first_taken_on} to {kept.last_taken_on} are the reference of {scanner}", markup=False)


@drift.command("alarms")
def list_alarms(
    *,
    settled: Annotated[bool, typer.Option("--all", help="Settled ones too.")] = False,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """List the alarms that wait for a person. Example: dosremc-node drift alarms"""
    rows = alarms(existing_ledger(read_settings(config, options)), settled=settled)
    if as_json:
        print_json(rows)
        return
    columns = ("alarm", "scanner", "domain", "what", "exam of", "raised", "why", "settled")
    told = [(each, f"{local_time(each.settled_at)} {each.settled_by}: {each.settled_because}" if each.settled_at else "") for each in rows]
    print_table(
        "",
        columns,
        [
            (
                each.alarm_id,
                each.scanner_key,
                each.domain,
                each.kind,
                each.taken_on,
                local_time(each.raised_at),
                each.detail.get("why"),
                end,
            )
            for each, end in told
        ],
    )


@drift.command("settle")
def settle_command(
    alarm: Annotated[int, typer.Argument(help="The alarm's number.")],
    because: Annotated[str, typer.Option(help="What was found, for the audit trail.")],
    *,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Say that an alarm was seen to: its chart begins anew. Example: dosremc-node drift settle 3 --because 'service replaced the grid'"""
    settle(existing_ledger(read_settings(config, options)), alarm, actor(), because)
    output.print(f"alarm {alarm} is settled")
