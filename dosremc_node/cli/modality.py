"""``send`` and ``simulate``: play a modality."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydicom.misc import is_dicom
from rich.progress import Progress

from dosremc_node.cli.common import ConfigOption, SetOption, console, output, read_settings
from dosremc_node.errors import NothingToSend
from dosremc_node.records import Laterality
from dosremc_node.simulation import VENDORS, Order, Sent, simulate_exam
from dosremc_node.simulation import send as send_files


def register(app: typer.Typer) -> None:
    app.command()(send)
    app.command()(simulate)


def send(
    files: Annotated[list[Path], typer.Argument(help="DICOM files, or folders of them.", exists=True)],
    *,
    to: Annotated[str | None, typer.Option(help="Where to, as AETITLE@host:port.", show_default="the node of the settings")] = None,
    calling: Annotated[str, typer.Option(help="The AE title to call with.")] = "MODALITY",
    config: ConfigOption = None,
    options: SetOption = None,
) -> None:
    """Send files by C-STORE, as a modality does. Example: dosremc-node send exam/ --to DOSREMC@127.0.0.1:11112"""
    settings = read_settings(config, options)
    called, host, port = _parsed(to) if to else (settings.node.ae_title, settings.reception.host, settings.reception.port)
    paths = [path for each in files for path in _dicom_files(each)]
    if not paths:
        raise NothingToSend(where=", ".join(map(str, files)))
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("sending", total=len(paths))
        answers = send_files(paths, host, port, called=called, calling=calling, progress=lambda _: progress.advance(task))
    _report(answers)


def _parsed(peer: str) -> tuple[str, str, int]:
    called, at, address = peer.partition("@")
    host, colon, port = address.rpartition(":")
    if not (called and at and host and colon and port.isdigit()):
        raise typer.BadParameter(f"{peer!r}: AETITLE@host:port is expected", param_hint="--to")
    return called, host, int(port)


def _dicom_files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
    else:
        yield from (each for each in sorted(path.rglob("*")) if each.is_file() and is_dicom(each))


def _report(answers: Sequence[Sent]) -> None:
    refused = [answer for answer in answers if not answer.accepted]
    output.print(f"{len(answers) - len(refused)} of {len(answers)} files accepted")
    for answer in refused:
        output.print("refused with " + ("no answer" if answer.status is None else f"status 0x{answer.status:04X}"))
    raise typer.Exit(1 if refused else 0)


def simulate(
    out: Annotated[Path, typer.Argument(help="The folder that the exams are written into.")],
    *,
    vendor: Annotated[str, typer.Option(help=f"One of {', '.join(VENDORS)}.")] = "A",
    exams: Annotated[int, typer.Option(min=1, help="How many four-view exams.")] = 1,
    malignant: Annotated[Laterality | None, typer.Option(help="The side with a cancer.", show_default="none")] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same files.")] = 0,
) -> None:
    """Write exams of women who never lived, as a vendor's unit would. Example: dosremc-node simulate build/exams --vendor B --malignant L"""
    if vendor not in VENDORS:
        raise typer.BadParameter(f"{vendor!r} is not one of {', '.join(VENDORS)}", param_hint="--vendor")
    with Progress(console=console, transient=True) as progress:
        for number in progress.track(range(exams), description="simulating"):
            folder = out / f"{vendor}-{seed + number}"
            folder.mkdir(parents=True, exist_ok=True)
            for image in simulate_exam(Order(seed + number, VENDORS[vendor], malignant)).images:
                (folder / f"{image.name}.dcm").write_bytes(image.content)
    output.print(f"{exams} exams in {out}")
