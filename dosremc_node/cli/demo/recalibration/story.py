"""How the story goes: five chapters on a running node, each with what an administrator types and sees."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from dosremc_node.cli.demo.exams import DemoStudy
from dosremc_node.cli.demo.node import DemoNode, running_node
from dosremc_node.cli.demo.outcomes import settled
from dosremc_node.cli.demo.recalibration import outcomes
from dosremc_node.cli.demo.recalibration.exams import Batch, files_of, seen
from dosremc_node.cli.demo.recalibration.filling import fill
from dosremc_node.cli.demo.recalibration.page import Chapter, Shown, write_page
from dosremc_node.cli.demo.recalibration.pictures import draw_pictures
from dosremc_node.cli.demo.recalibration.vendor import DOMAIN, FIFTH, MANUFACTURER, UPGRADED
from dosremc_node.configuration import shipped
from dosremc_node.errors import NodeError, PeerRefused, StoryBroken
from dosremc_node.ledger.outcomes import outcome_counts
from dosremc_node.ledger.overview import assessments_of, find_study
from dosremc_node.ledger.proposals import Proposal, list_proposals
from dosremc_node.ledger.releases import release_in_force
from dosremc_node.ledger.states import ProposalState
from dosremc_node.node import Node, open_node
from dosremc_node.recalibration import ChangeKind
from dosremc_node.recalibration.proposal_folder import folder_of
from dosremc_node.simulation import VENDORS, Vendor, send
from dosremc_node.simulation.loopback import free_port
from dosremc_node.simulation.pacs import start_pacs

MADE_BY_US = ("node", "orthanc", "releases", "reports", "index.html", "domains.toml", "change_plan.toml", "flagged.png", "roc.png")
PATIENCE_SECONDS = 300.0
APPROVER = "the physicist of this demonstration"
SENT = 2
"""Exams that are sent for real in each chapter."""
FIRST_SEED = 41_000_000


@dataclass(frozen=True, slots=True)
class Size:
    """How many exams of each kind there are, and how often the bank goes through them."""

    reference: int = 1000
    shadow: int = 1300
    served: int = 1400
    upgraded: int = 300
    epochs: int = 4


def tell(build: Path, size: Size = Size()) -> int:
    """Tell the story and leave its page in ``build``; answers the exit code."""
    console = Console(width=150)
    _clear(build)
    try:
        with start_pacs(build / "orthanc") as pacs, running_node(build / "node", pacs, _options(build, size)) as running:
            pacs.knows(running.settings.node.ae_title, running.settings.reception.port)
            node = open_node(running.settings)
            with closing(node.ledger):
                story = Story(build, node, running, size, console)
                chapters = [chapter(story) for chapter in CHAPTERS]
                draw_pictures(build, node, story.batches, story.releases)
                write_page(build, chapters, node.release_in_force().release)
    except NodeError as error:
        console.print(f"[bold red]demo: {error}", highlight=False, soft_wrap=True)
        return 1
    console.print(f"the story with its pictures: {build / 'index.html'}", highlight=False, soft_wrap=True)
    return 0


def _clear(build: Path) -> None:
    """Remove what an earlier one left, and nothing else."""
    (build / "reports").mkdir(parents=True, exist_ok=True)
    for name in MADE_BY_US:
        path = build / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    (build / "reports").mkdir()


def _options(build: Path, size: Size) -> list[str]:
    """Beside those of the other demonstration: a rule for the new scanner, a plan, a listener for outcomes."""
    folder = build.resolve()
    rule = f'\n[[{DOMAIN}]]\nmanufacturers = ["{MANUFACTURER}"]\n'
    (folder / "domains.toml").write_text(shipped("domains.toml").read_text(encoding="utf-8") + rule, encoding="utf-8")
    plan = shipped("change_plan.toml").read_text(encoding="utf-8").replace("epochs = 10 ", f"epochs = {size.epochs} ")
    (folder / "change_plan.toml").write_text(plan, encoding="utf-8")
    return [
        f"studies.domains_file={folder / 'domains.toml'}",
        "studies.nearest_domain=simulated-a",
        f"releases.folder={folder / 'releases'}",
        f"recalibration.change_plan_file={folder / 'change_plan.toml'}",
        f"drift.reference_exams={size.reference}",
        f"messages.port={free_port()}",
    ]


@dataclass
class Story:
    """What the chapters share. ``releases``: which was in force while each batch was taken."""

    build: Path
    node: Node
    running: DemoNode
    size: Size
    console: Console
    batches: dict[str, Batch] = field(default_factory=dict)
    releases: dict[str, str] = field(default_factory=dict)
    windows: int = 0

    # --- Exams --------------------------------------------------------------------------------------------------------

    def take(self, name: str, vendor: Vendor, count: int, days_ago: int) -> Batch:
        """Have so many exams taken, from so many days ago on: most filled in, a few sent by C-STORE and waited for."""
        batch = Batch(vendor, FIRST_SEED + 100_000 * len(self.batches), count, date.today() - timedelta(days=days_ago))  # noqa: DTZ011 - as on the wall
        self.batches[name], self.releases[name] = batch, release_in_force(self.node.ledger) or ""
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self.console) as progress:
            task = progress.add_task(f"{count} exams of {vendor.manufacturer}, software {vendor.software_version}", total=1.0)
            spec = self.node.release_in_force().release.preprocessing
            fill(self.node, seen(batch, spec, lambda share: progress.update(task, completed=share)))
        return batch

    def send(self, batch: Batch) -> Shown:
        """Further women of a batch, sent as a modality would; what came back."""
        further = [DemoStudy("", "", "", batch.vendor.manufacturer, files_of(batch, batch.count + number), "") for number in range(SENT)]
        reception = self.node.settings.reception
        for study in further:
            for answer in send(study.files, reception.host, reception.port, called=self.node.settings.node.ae_title):
                if not answer.accepted:
                    raise PeerRefused(peer="the node", why=f"an image was answered with the status {answer.status}")
        uids = [batch.order(batch.count + number).uid("study") for number in range(SENT)]
        self.wait(
            lambda: settled(self.node.ledger, [_named(study, uid) for study, uid in zip(further, uids, strict=True)]) == SENT, "reports"
        )
        return Shown(f"{SENT} exams sent by C-STORE; their reports are on the PACS", "\n".join(map(self._said_of, uids)))

    def _said_of(self, uid: str) -> str:
        study = find_study(self.node.ledger, uid)
        found = list(assessments_of(self.node.ledger, study).values()) if study else []
        if not found:
            return "no report"
        last = found[-1]
        scores = ", ".join(f"{each.laterality.word} breast {each.probability:.1%}" for each in last.breasts)
        return f"shown: {scores}" if last.shown else f"scored in the shadow, not shown: {last.not_assessed}"

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Until it is so; raises `StoryBroken` after `PATIENCE_SECONDS`, and `NodeProcessEnded`."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            self.running.check()
            if time.monotonic() > deadline:
                raise StoryBroken(what=what, why=f"it did not come within {PATIENCE_SECONDS:.0f} s")
            time.sleep(0.2)

    # --- What an administrator types ----------------------------------------------------------------------------------

    def command(self, *arguments: str) -> Shown:
        """A command and what it answers; raises `StoryBroken` where it fails."""
        typed = "dosremc-node " + " ".join(f'"{each}"' if " " in each else each for each in arguments)
        self.console.print(f"$ {typed}", highlight=False, soft_wrap=True, markup=False)
        whole = [sys.executable, "-m", "dosremc_node", *arguments, *self.running.options]
        done = subprocess.run(whole, check=False, capture_output=True, text=True)
        if done.returncode:
            raise StoryBroken(what=typed, why=(done.stderr or done.stdout).strip()[-2000:])
        return Shown(f"$ {typed}", done.stdout.strip())

    def recalibrate(self) -> Shown:
        """One run over the new domain, in a window of its own."""
        self.windows += 1
        return self.command("recalibrate", "--once", "--domain", DOMAIN, "--window", f"story-{self.windows}")

    def approve(self, kind: ChangeKind) -> Sequence[Shown]:
        """Approve what passed, and keep its report beside the page; raises `StoryBroken` where nothing did."""
        made = self.passed(kind)
        report = f"reports/{made.proposal_id}.html"
        shutil.copy(folder_of(self.build / "releases", made.proposal_id) / "report.html", self.build / report)
        show = self.command("releases", "show", made.proposal_id)
        approved = self.command("releases", "approve", made.proposal_id, "--approver", APPROVER)
        return (Shown(show.title, show.text, link=report), approved)

    def passed(self, kind: ChangeKind) -> Proposal:
        """The latest proposal of a kind, which passed."""
        found = [each for each in list_proposals(self.node.ledger) if each.kind == kind]
        if not found or found[0].state is not ProposalState.PASSED:
            why = "; ".join(f"{each.state}: {each.reason}" for each in found) or "none was made"
            raise StoryBroken(what=f"the proposal of {kind}", why=why)
        return found[0]


def _named(study: DemoStudy, uid: str) -> DemoStudy:
    return DemoStudy(study.title, study.folder, uid, study.manufacturer, study.files, study.truth)


# --- The chapters -----------------------------------------------------------------------------------------------------


def reference(story: Story) -> Chapter:
    story.take("A, which the release knows", VENDORS["A"], story.size.reference, days_ago=900)
    frozen = story.command("drift", "freeze", "--scanner", _key(VENDORS["A"]))
    text = (
        f"{story.size.reference} exams of vendor A, whom the release was trained on. They are frozen: what a new scanner is held against.",
        (
            "Most exams of this story are filled into the ledger: simulated, prepared, planned, scored and judged by the node's own code, but "
            f"not sent. {SENT} exams of each chapter go the whole way by C-STORE."
        ),
    )
    return Chapter("A scanner that is known to be well", text, (frozen,))


def appears(story: Story) -> Chapter:
    batch = story.take("E, scored with A's bank", FIFTH, story.size.shadow, days_ago=870)
    text = (
        (
            "A fifth vendor's unit is installed. A rule in domains.toml gives it a domain, for which no release has a bank: its exams are scored "
            "with A's bank, kept, and not shown."
        ),
    )
    return Chapter("A fifth vendor appears: in the shadow", text, (story.send(batch), story.command("status")))


def recovers(story: Story) -> Chapter:
    before = story.command("recalibrate", "--dry-run", "--domain", DOMAIN)
    run = story.recalibrate()
    approved = story.approve(ChangeKind.STATISTICS)
    batch = story.take("E, own statistics", FIFTH, story.size.served, days_ago=840)
    text = (
        (
            "The daemon makes a bank for the new domain from consecutive exams without a label: A's filters, gamma, beta and fully connected layer, "
            "the new scanner's batch-norm statistics, and an operating point at which it flags as many as the reference. It is judged by later "
            "exams, approved by a named person, and served from the next study on, without a restart."
        ),
    )
    return Chapter("It recovers by statistics", text, (before, run, *approved, story.send(batch), story.command("releases", "list")))


def learns(story: Story) -> Chapter:
    reports = [
        outcomes.report(*batch.patient(number), side, batch.day(number))
        for batch in story.batches.values()
        for number, side in outcomes.cancers(batch)
    ]
    sent = outcomes.send_reports(story.node.settings.messages.port, reports)
    story.wait(lambda: sum(outcome_counts(story.node.ledger).values()) >= sent, "the outcomes")
    arrived = Shown(f"{sent} outcomes sent by MLLP (HL7 v2, ORU^R01), each acknowledged", story.command("status").text)
    run = story.recalibrate()
    approved = story.approve(ChangeKind.FINE_TUNING)
    batch = story.take("E, fine-tuned", FIFTH, story.size.upgraded, days_ago=60)
    text = (
        (
            "Two years later pathology has reported the cancers, and what was never reported on is confirmed negative. The bank learns from them: "
            "batch norm and fully connected layer; the filters stay, bit by bit. It is judged by later exams, of women that it has not seen."
        ),
        "One exam in four has a cancer here. A real site with one in two hundred waits years for as many outcomes.",
    )
    return Chapter("It gains by outcomes", text, (arrived, run, *approved, story.send(batch)))


def upgraded(story: Story) -> Chapter:
    batch = story.take("E after its upgrade", UPGRADED, story.size.upgraded, days_ago=30)
    run = story.recalibrate()
    shown = (story.send(batch), run, story.command("releases", "proposals", "--all"), story.command("status"), story.command("drift"))
    text = (
        (
            "The vendor upgrades the unit's software: sharper, another curve. The share of flagged exams leaves the guard band, and the daemon acts by "
            "itself as the change plan says."
        ),
        "Every step is in the audit trail, whose chain holds.",
    )
    return Chapter("Its software is upgraded: the guard band trips", text, (*shown, story.command("audit", "verify")))


CHAPTERS = (reference, appears, recovers, learns, upgraded)


def _key(vendor: Vendor) -> str:
    return f"{vendor.manufacturer} / {vendor.model} / {vendor.software_version}"
