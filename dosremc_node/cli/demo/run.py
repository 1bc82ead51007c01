"""How the demonstration goes: start, send, wait, ask the PACS, show, and end everything that was started."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from dosremc_node.cli.demo.exams import DemoStudy, how_many, studies_to_send
from dosremc_node.cli.demo.fetching import fetch_everything
from dosremc_node.cli.demo.node import DESTINATION, QUIET_SECONDS, DemoNode, running_node
from dosremc_node.cli.demo.outcomes import Outcome, outcome_of, settled
from dosremc_node.cli.demo.page import write_page
from dosremc_node.errors import NodeError, PeerRefused
from dosremc_node.ledger import Ledger
from dosremc_node.node import Node, open_node
from dosremc_node.simulation import Sent, send
from dosremc_node.simulation.pacs import Pacs, start_pacs

PATIENCE_SECONDS = 300.0
MADE_BY_US = ("node", "orthanc", "pacs", "images")
INTERRUPTED = 130
WIDTH_OF_A_FILE = 150


def demo(build: Path) -> int:
    """Run the demonstration and leave what it made in ``build``. Answers the exit code: 0 where nothing was lost."""
    console = Console() if sys.stdout.isatty() else Console(width=WIDTH_OF_A_FILE)
    try:
        with _ended_by_a_signal_too():
            return _demonstrate(build, console)
    except NodeError as error:
        console.print(f"[bold red]demo: {error}", highlight=False, soft_wrap=True)
        return 1
    except KeyboardInterrupt:
        console.print("demo: interrupted; everything that it started was ended")
        return INTERRUPTED


def _demonstrate(build: Path, console: Console) -> int:
    _clear(build)
    console.print("starting a PACS and the node")
    with start_pacs(build / "orthanc") as pacs, running_node(build / "node", pacs) as running:
        pacs.knows(running.settings.node.ae_title, running.settings.reception.port)
        console.print(f"PACS: {pacs.description}, AE title {pacs.ae_title}, {pacs.host}:{pacs.port}", highlight=False)
        console.print(f"node: AE title {running.settings.node.ae_title}, 127.0.0.1:{running.settings.reception.port}", highlight=False)
        node = open_node(running.settings)
        with closing(node.ledger):
            studies = _play_the_modality(pacs, running, node.ledger, console)
            outcomes = _come_back(build, studies, pacs, node, console)
    console.print(_table(outcomes))
    for note in _notes(outcomes):
        console.print(f"[dim]{note}", highlight=False, soft_wrap=True)
    console.print(f"every view with its heat map, region and score: {build / 'index.html'}", highlight=False, soft_wrap=True)
    return _verdict(outcomes, running, console)


def _come_back(build: Path, studies: Sequence[DemoStudy], pacs: Pacs, node: Node, console: Console) -> list[Outcome]:
    """Ask the PACS what it has of each study, fetch everything back, and make the page of it."""
    console.print("asking the PACS what it has, and fetching everything back")
    outcomes = [outcome_of(study, node, node.settings.destination(DESTINATION)) for study in studies]
    fetched = fetch_everything(pacs, build / "pacs", {study.study_instance_uid: study.folder for study in studies})
    write_page(build, outcomes, fetched, node, pacs.description)
    return outcomes


def _clear(build: Path) -> None:
    """Remove what an earlier demonstration left, and nothing else."""
    for name in MADE_BY_US:
        shutil.rmtree(build / name, ignore_errors=True)
    build.mkdir(parents=True, exist_ok=True)


@contextmanager
def _ended_by_a_signal_too() -> Iterator[None]:
    """SIGTERM and SIGINT end the demonstration, the latter also where it was started in the background of a script, which
    ignores it: whatever was started is ended on the way out.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- Sending and waiting ----------------------------------------------------------------------------------------------


def _play_the_modality(pacs: Pacs, node: DemoNode, ledger: Ledger, console: Console) -> list[DemoStudy]:
    """Send every study to the PACS and to the node, as a unit would, and wait until the node is done with all of them."""
    columns = (TextColumn("{task.description:18}"), BarColumn(bar_width=40), MofNCompleteColumn(), TimeElapsedColumn())
    how_many_studies, how_many_images = how_many()
    studies: list[DemoStudy] = []
    with Progress(*columns, console=console) as progress:
        images = progress.add_task("images sent", total=how_many_images)
        reports = progress.add_task("studies reported", total=how_many_studies)
        for study in studies_to_send():
            studies.append(study)
            _send(study, pacs, node, partial(progress.advance, images))
            progress.update(reports, completed=settled(ledger, studies))
        _wait(partial(settled, ledger, studies), node, progress, reports)
    return studies


def _send(study: DemoStudy, pacs: Pacs, node: DemoNode, advance: Callable[[], None]) -> None:
    reception = node.settings.reception
    send(study.files, pacs.host, pacs.port, called=pacs.ae_title, progress=_accepted)
    for answer in send(study.files, reception.host, reception.port, called=node.settings.node.ae_title, progress=lambda _: advance()):
        _accepted(answer)


def _accepted(answer: Sent) -> None:
    if not answer.accepted:
        raise PeerRefused(peer="the node or the PACS", why=f"an image was answered with the status {answer.status}")


def _wait(settled_now: Callable[[], int], node: DemoNode, progress: Progress, task: TaskID) -> None:
    """Until everything is settled, or nothing has moved for `PATIENCE_SECONDS`; raises `NodeProcessEnded`."""
    deadline, total = time.monotonic() + PATIENCE_SECONDS, progress.tasks[task].total
    while time.monotonic() < deadline and progress.tasks[task].completed != total:
        node.check()
        progress.update(task, completed=settled_now())
        time.sleep(0.1)


# --- The end ----------------------------------------------------------------------------------------------------------


def _table(outcomes: Sequence[Outcome]) -> Table:
    table = Table(title="What came back", title_justify="left", header_style="bold")
    for column in ("study", "manufacturer", "domain", "bank", "score per breast"):
        table.add_column(column, overflow="fold")
    for column in ("regions", "on the PACS", "ms"):
        table.add_column(column, justify="right")
    for outcome in outcomes:
        table.add_row(*_row(outcome))
    return table


def _row(outcome: Outcome) -> tuple[str, ...]:
    shown, plan = outcome.shown, outcome.plan
    bank = str(plan.bank).partition("@")[2] if shown and plan and plan.bank else "-"
    regions = str(sum(len(image.findings) for image in shown.images)) if shown else "-"
    documents = f"{len(outcome.on_pacs)} of {len(outcome.reports)}"
    milliseconds = f"{outcome.milliseconds:.0f}" if outcome.milliseconds is not None else "-"
    domain = (plan.domain if plan and shown else None) or "-"
    return outcome.study.title, outcome.study.manufacturer, domain, bank, _scores(outcome), regions, documents, milliseconds


def _scores(outcome: Outcome) -> str:
    if outcome.shown is None:
        return "not assessed"
    breasts = sorted(outcome.shown.breasts, key=lambda breast: breast.laterality, reverse=True)
    return ", ".join(f"{each.laterality} {100 * each.probability:.1f} %{' positive' if each.positive else ''}" for each in breasts)


def _notes(outcomes: Sequence[Outcome]) -> Iterator[str]:
    yield "on the PACS: documents that the PACS names when it is asked (C-FIND), of those that the node says it sent"
    yield f"ms: from the last image to the last document; a study without all four views first waits {QUIET_SECONDS} s for more"
    for reason in sorted({outcome.reason for outcome in outcomes if outcome.reported and outcome.reason}):
        yield f"not assessed: {reason}"


def _verdict(outcomes: Sequence[Outcome], node: DemoNode, console: Console) -> int:
    """The last line, and what to do where it is not the one that was hoped for."""
    lost = [outcome for outcome in outcomes if not outcome.reported]
    for outcome in lost:
        console.print(f"[bold red]{outcome.study.title}: {outcome.reason}", highlight=False, soft_wrap=True)
    if lost:
        console.print(f"what the node did about them stands in {node.log}; run `make demo` again once that is mended", soft_wrap=True)
    print(f"demo: {len(outcomes)} studies sent, {len(outcomes) - len(lost)} reports on the PACS, {len(lost)} lost")  # noqa: T201
    return 1 if lost else 0
