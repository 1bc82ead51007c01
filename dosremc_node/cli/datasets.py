"""``data``: published data sets as one index, and what is confounded in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dosremc_node.cli.common import ConfigOption, JsonOption, SetOption, console, output, print_json, print_table, read_settings
from dosremc_node.studies import load_domains

if TYPE_CHECKING:
    from dosremc_node.network.data import Excluded, Index

data = typer.Typer(help="Data sets to train on: make an index of one, see what is in it (needs the extra `train`).", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(data, name="data")


@data.command()
def layouts(
    name: Annotated[str | None, typer.Argument(help="One of them, to see its files, columns and labels.", show_default="all")] = None,
) -> None:
    """Show which published data sets are known, and how their folders must look. Example: dosremc-node data layouts vindr"""
    from dosremc_node.network.data import LAYOUTS  # noqa: PLC0415 - it needs torch

    if name is None:
        rows = [(each.PREFIX, each.NAME, each.LABEL, each.ACCESS) for each in LAYOUTS.values()]
        print_table("", ("name", "data set", "label", "access"), rows)
    else:
        _known(name, LAYOUTS)
        output.print(LAYOUTS[name].__doc__, markup=False, highlight=False)


@data.command("index")
def make_index(
    layout: Annotated[str, typer.Argument(help="The data set's name: see `data layouts`.")],
    folder: Annotated[Path, typer.Argument(help="Where it was unpacked.", exists=True, file_okay=False)],
    *,
    out: Annotated[Path, typer.Option(help="The index, a CSV file; what is excluded goes beside it.")],
    seed: Annotated[int, typer.Option(help="Decides on the splits that the data set does not bring.")] = 1,
    as_json: JsonOption = False,
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Make the index of a published data set. Example: dosremc-node data index vindr vindr-mammo/1.0.0 --out index.csv"""
    from dosremc_node.network.data import LAYOUTS, build_index, write_index  # noqa: PLC0415

    _known(layout, LAYOUTS)
    settings = read_settings(config, options)
    index = build_index(layout, folder, load_domains(settings.studies.domains_file), seed)
    write_index(index, out)
    show_index(index, as_json=as_json)
    console.print(f"{len(index.rows)} images in {out}; the label is {LAYOUTS[layout].LABEL}", soft_wrap=True)


@data.command()
def balance(
    files: Annotated[list[Path], typer.Argument(help="Index files.", exists=True, dir_okay=False)], *, as_json: JsonOption = False
) -> None:
    """Show what an index holds, and whether the scanner tells the label. Example: dosremc-node data balance index.csv"""
    from dosremc_node.network.data import read_index  # noqa: PLC0415

    show_index(read_index(*files), as_json=as_json)


def show_index(index: Index, *, as_json: bool = False) -> None:
    """Class balance and confounding as a table or JSON, warnings on standard error."""
    from dosremc_node.network.data import balance as balance_of  # noqa: PLC0415
    from dosremc_node.network.data import confounding  # noqa: PLC0415

    balances, found = balance_of(index), confounding(index)
    if as_json:
        print_json({"balance": balances, "confounding": found, "excluded": dict(Counter(each.reason for each in index.excluded))})
    else:
        columns = ("split", "domain", "patients", "exams", "breasts", "malignant", "share", "images", "marked")
        rows = [
            (each.split, each.domain, each.patients, each.exams, each.breasts, each.malignant, f"{each.malignant_share:.1%}", each.images, each.lesions)
            for each in balances
        ]  # fmt: skip
        print_table("", columns, rows)
        show_excluded(index.excluded)
    for each in found:
        if each.warning:
            console.print(f"[bold yellow]confounded[/] {each.warning}", highlight=False, soft_wrap=True)


def show_excluded(excluded: Iterable[Excluded]) -> None:
    """How many images are left out for which reason."""
    for reason, count in Counter(each.reason for each in excluded).most_common():
        console.print(f"{count} images left out: {reason}", highlight=False, markup=False, soft_wrap=True)


def _known(name: str, names: Iterable[str]) -> None:
    if name not in names:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(names)}")
