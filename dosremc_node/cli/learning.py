"""``train``, ``adapt`` and ``evaluate``: make a release, give it a bank for another domain, measure it."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from dosremc_node.cli.common import ConfigOption, JsonOption, SetOption, console, output, print_json, print_table, read_settings
from dosremc_node.cli.datasets import show_excluded, show_index
from dosremc_node.records import Domain
from dosremc_node.releases import LoadedRelease, ReleaseShelf, default_shelf
from dosremc_node.settings import Settings

if TYPE_CHECKING:
    from dosremc_node.network.data import Index
    from dosremc_node.network.releasing import Made, Measured

train = typer.Typer(help="Train a release (needs the extra `train`).", no_args_is_help=True)

IndexOption = Annotated[list[Path], typer.Option("--index", help="An index file; may be repeated.", exists=True, dir_okay=False)]
ReleasesOption = Annotated[Path, typer.Option("--releases", help="The folder of releases to read from and write into.")]
CacheOption = Annotated[Path, typer.Option("--cache", help="Where network inputs are kept between runs.")]
ProcessesOption = Annotated[int, typer.Option(min=1, max=64, help="Images that are decoded at once.")]
DeviceOption = Annotated[str | None, typer.Option(help="cpu or cuda.", show_default="cuda where it is there")]
SeedOption = Annotated[int, typer.Option(help="The same seed on the same processor gives the same bits.")]
EpochsOption = Annotated[int, typer.Option(min=1, help="Passes over the images.")]
RateOption = Annotated[float, typer.Option(min=0.0, help="The highest learning rate.")]
BatchOption = Annotated[int, typer.Option(min=2, help="Images in a batch.")]
PatienceOption = Annotated[int, typer.Option(min=1, help="Ends after so many epochs without a better validation PR-AUC.")]
SpecificityOption = Annotated[float, typer.Option(min=0.01, max=0.99, help="Share of negative breasts that are spared.")]

RELEASES, CACHE, WORK = Path("build/releases"), Path("var/training-inputs"), Path("var/demonstration")


def register(app: typer.Typer) -> None:
    app.add_typer(train, name="train")
    app.command()(adapt)
    app.command()(evaluate)


@train.command("release")
def train_release(
    name: Annotated[str, typer.Argument(help="The id of the new release.")],
    *,
    index: IndexOption,
    domain: Annotated[list[str] | None, typer.Option(help="A domain to learn from; may be repeated.", show_default="all")] = None,
    network: Annotated[str, typer.Option(help="saliency (light) or gmic (2944 x 1920 in the paper).")] = "saliency",
    height: Annotated[int, typer.Option(min=64, help="Of the network's input, in pixels.")] = 256,
    width: Annotated[int, typer.Option(min=32, help="Of the network's input, in pixels.")] = 128,
    epochs: EpochsOption = 20,
    rate: RateOption = 3e-3,
    batch: BatchOption = 32,
    patience: PatienceOption = 8,
    balanced: Annotated[bool, typer.Option(help="Show malignant and negative images of each domain equally often.")] = True,
    specificity: SpecificityOption = 0.9,
    seed: SeedOption = 1,
    releases: ReleasesOption = RELEASES,
    cache: CacheOption = CACHE,
    processes: ProcessesOption = 2,
    device: DeviceOption = None,
    as_json: JsonOption = False,
) -> None:
    """Train filters and a bank from an index; called again after an interruption, it goes on where it ended.

    Example: dosremc-node train release first --index index.csv --domain siemens
    """
    from dosremc_node.network.data import read_index  # noqa: PLC0415 - nothing else may need torch
    from dosremc_node.network.releasing import NetworkName, SourceRecipe, Workplace  # noqa: PLC0415
    from dosremc_node.network.releasing import train_release as make  # noqa: PLC0415

    if network not in tuple(NetworkName):
        raise typer.BadParameter(f"{network!r} is not one of {', '.join(NetworkName)}", param_hint="--network")
    found = read_index(*index)
    recipe = SourceRecipe(name, NetworkName(network), height, width, epochs, rate, batch, patience, seed, balanced, specificity)
    domains = _domains(found, domain)
    _show_before(found, as_json=as_json)
    with _heard() as heard:
        made = make(found, domains, releases, recipe, Workplace(cache, processes, device, heard))
    _say_made(made, releases, as_json=as_json)


def adapt(
    parent: Annotated[str, typer.Argument(help="The id of the release that gets one more bank.")],
    name: Annotated[str, typer.Argument(help="The id of the new release.")],
    *,
    index: IndexOption,
    domain: Annotated[str | None, typer.Option(help="The domain to adapt to.", show_default="the index's only one")] = None,
    method: Annotated[str, typer.Option(help="One of those that give a bank.")] = "domain_banks",
    start_from: Annotated[
        str | None, typer.Option(help="The domain whose bank is started from.", show_default="that of the filters")
    ] = None,
    source_index: Annotated[Path | None, typer.Option(help="Images of that domain, where the method needs them.", exists=True)] = None,
    epochs: EpochsOption = 10,
    rate: RateOption = 1e-3,
    batch: BatchOption = 32,
    patience: PatienceOption = 5,
    specificity: SpecificityOption = 0.9,
    seed: SeedOption = 1,
    releases: ReleasesOption = RELEASES,
    cache: CacheOption = CACHE,
    processes: ProcessesOption = 2,
    device: DeviceOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Give a release a bank for another domain; its filters and other banks stay, to the last bit.

    Example: dosremc-node adapt first second --index hospital.csv --domain ge
    """
    from dosremc_node.network.data import read_index  # noqa: PLC0415
    from dosremc_node.network.releasing import AdaptationRecipe, Workplace, adapt_release  # noqa: PLC0415

    loaded = _release(parent, releases, read_settings(config, options))
    found = read_index(*index)
    start = Domain(start_from) if start_from else None
    recipe = AdaptationRecipe(name, method, start, epochs, rate, batch, patience, seed, specificity)
    (only,) = _domains(found, [domain] if domain else None, one=True)
    source = read_index(source_index) if source_index else None
    _show_before(found, as_json=as_json)
    with _heard() as heard:
        workplace = Workplace(cache, processes, device, heard)
        made = adapt_release(loaded, found, only, out=releases, recipe=recipe, workplace=workplace, source=source)
    _say_made(made, releases, as_json=as_json)


def evaluate(
    release: Annotated[str, typer.Argument(help="The id of the release.")],
    *,
    index: IndexOption,
    split: Annotated[str, typer.Option(help="training, validation or test.")] = "test",
    domain: Annotated[list[str] | None, typer.Option(help="A domain to measure; may be repeated.", show_default="all")] = None,
    specificity: SpecificityOption = 0.9,
    bank: Annotated[str | None, typer.Option(help="Score all with this domain's bank.", show_default="each its own")] = None,
    out: Annotated[Path | None, typer.Option(help="A JSON file for the figures.", show_default="none")] = None,
    releases: ReleasesOption = RELEASES,
    cache: CacheOption = CACHE,
    processes: ProcessesOption = 2,
    device: DeviceOption = None,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Measure a release breast by breast, with 95 % intervals. Example: dosremc-node evaluate second --index hospital.csv --out figures.json"""
    from dosremc_node.network.data import Split, read_index  # noqa: PLC0415
    from dosremc_node.network.releasing import Workplace, evaluate_release  # noqa: PLC0415

    if split not in tuple(Split):
        raise typer.BadParameter(f"{split!r} is not one of {', '.join(Split)}", param_hint="--split")
    loaded = _release(release, releases, read_settings(config, options))
    found = read_index(*index)
    domains = _domains(found, domain)
    forced = Domain(bank) if bank else None
    with _heard() as heard:
        workplace = Workplace(cache, processes, device, heard)
        measured = evaluate_release(loaded, found, Split(split), domains, workplace=workplace, bank=forced, specificity=specificity)
    report: dict[str, object] = {"release": release, "split": split, "domains": [_plain(each) for each in measured]}
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    _say_measured(measured, report, as_json=as_json)


@train.command("demonstration")
def make_demonstration(
    out: Annotated[Path, typer.Option(help="The folder that the release `demonstration` is written into.")],
    *,
    images_per_vendor: Annotated[int, typer.Option(min=100, help="Simulated training images of each vendor.")] = 2400,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over them.")] = 12,
    seed: Annotated[int, typer.Option(help="The same seed on the same machine gives the same release.")] = 1,
    work: Annotated[Path, typer.Option(help="Where what is finished is kept, so that an interrupted training goes on.")] = WORK,
) -> None:
    """Make the demonstration release anew from simulated mammograms. Example: dosremc-node train demonstration --out build/releases"""
    # Imported here because nothing else may need torch.
    from dosremc_node.network import Recipe, train_demonstration  # noqa: PLC0415

    with _heard() as heard:
        release = train_demonstration(out, Recipe(images_per_vendor=images_per_vendor, epochs=epochs, seed=seed), heard, work)
    output.print(f"{release.release_id} with banks for {', '.join(sorted(release.banks))} in {out}")


@contextmanager
def _heard() -> Iterator[Callable[[str, float], None]]:
    """A bar for everything that is being done."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        tasks: dict[str, TaskID] = {}

        def heard(what: str, share: float) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=1.0)
            progress.update(tasks[what], completed=share)

        yield heard


def _domains(index: Index, named: list[str] | None, *, one: bool = False) -> tuple[Domain, ...]:
    """The domains that are meant, all of the index's where none is named."""
    domains = tuple(Domain(name) for name in named or index.domains)
    if unknown := [domain for domain in domains if domain not in index.domains]:
        raise typer.BadParameter(f"{unknown[0]!r} is not in the index, which has {', '.join(index.domains)}", param_hint="--domain")
    if one and len(domains) != 1:
        raise typer.BadParameter(f"name one of {', '.join(index.domains)}", param_hint="--domain")
    return domains


def _release(name: str, folder: Path, settings: Settings) -> LoadedRelease:
    """From the folder, else from the settings' or the program's own."""
    own = ReleaseShelf([folder])
    return (own if name in own.names() else default_shelf(settings.releases)).load(name)


def _show_before(index: Index, *, as_json: bool) -> None:
    """What is about to be learnt from, and what is confounded in it; JSON is kept for the answer."""
    if not as_json:
        show_index(index)


def _say_made(made: Made, folder: Path, *, as_json: bool) -> None:
    release = made.release
    if as_json:
        print_json({"release": release, "excluded": [_plain(each) for each in made.excluded]})
        return
    show_excluded(made.excluded)
    output.print(
        f"{release.release_id} with banks for {', '.join(sorted(release.banks))} in {folder}; filters {release.filters_sha256[:12]}"
    )


def _say_measured(measured: list[Measured], report: dict[str, object], *, as_json: bool) -> None:
    if as_json:
        print_json(report)
        return
    columns = ("", *(f"{each.domain}" for each in measured))
    figures = [_figures(each) for each in measured]
    names = dict.fromkeys(name for each in figures for name in each)
    print_table("", columns, [(name, *(each.get(name, "") for each in figures)) for name in names])
    for each in measured:
        show_excluded(each.excluded)


def _figures(measured: Measured) -> dict[str, object]:
    """A domain's column of the table."""
    found = measured.performance
    if found is None:
        return {"bank": measured.bank or "", "not measured": measured.why}
    return {
        "bank": measured.bank,
        "breasts (malignant)": f"{found.cases} ({found.malignant})",
        "ROC-AUC (DeLong)": found.roc_auc,
        "ROC-AUC (bootstrap)": found.roc_auc_bootstrap,
        "PR-AUC (bootstrap)": found.pr_auc,
        "sensitivity at the release's threshold": found.at_threshold.sensitivity,
        "specificity there": found.at_threshold.specificity,
        f"sensitivity at {measured.specificity:.0%} specificity": measured.sensitivity,
        "Brier score": f"{found.brier:.4f}",
        "calibration intercept": found.calibration_intercept,
        "calibration slope": found.calibration_slope,
        "expected / observed": found.expected_over_observed,
    }


def _plain(value: object) -> object:
    """For JSON, which knows no path and no number that is none."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: _plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, Path) else value
