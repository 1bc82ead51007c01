"""A run of recalibration in the engine: what it works on, what it proposes, once in a window, whatever fails."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from harness.ledger import enter_exams
from harness.networks import SPEC, small_network
from sqlalchemy import update

from dosremc_node.engine import Engine
from dosremc_node.errors import NothingToRun
from dosremc_node.imaging import ImagingWorkers
from dosremc_node.inputs import NetworkInputs
from dosremc_node.ledger import audit, open_ledger
from dosremc_node.ledger.drift import FrozenReference, freeze
from dosremc_node.ledger.drift_tables import DriftReferenceRow
from dosremc_node.ledger.exams import AssessedExam, ScoredView
from dosremc_node.ledger.proposals import Proposal, list_proposals
from dosremc_node.ledger.recalibration_runs import latest_runs, runs_of_window
from dosremc_node.ledger.states import ProposalState
from dosremc_node.network import bank_of, export_backbone
from dosremc_node.node import Node
from dosremc_node.recalibrating import (
    RECALIBRATE,
    Recalibration,
    chosen_domains,
    enqueue_all,
    prospects,
)
from dosremc_node.recalibration import ChangeKind
from dosremc_node.recalibration.dossier import Dossier
from dosremc_node.recalibration.wishes import Wish
from dosremc_node.records import BankId, Domain, Laterality, OperatingPoint, StudyId, View
from dosremc_node.releases import ReleaseFacts, write_release

OpenOne = Callable[..., Node]

DOMAINS = '[[maker]]\nmanufacturers = ["Maker"]\n[[new]]\nmanufacturers = ["New"]\n[[odd]]\nmanufacturers = ["Odd"]\n'
POINT = OperatingPoint(0.9, 1.0, 0.0)
FIRST = date(2026, 1, 1)
MAKER, NEW, ODD = (Domain(name) for name in ("maker", "new", "odd"))


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BankId]:
    """A release with one bank."""
    folder, network = tmp_path_factory.mktemp("releases"), small_network("light")
    facts = ReleaseFacts("parent", SPEC, {"maker": POINT}, "test", demonstration=True, statement="none")
    release = write_release(folder, facts, export_backbone(network, SPEC), {MAKER: bank_of(network)})
    return folder, release.banks[MAKER]


@pytest.fixture(scope="module")
def made() -> list[Recalibration]:
    """One for all tests: the engine knows it for as long as the process lives."""
    return []


@pytest.fixture
def work(made: list[Recalibration], node: Node, imaging_workers: ImagingWorkers) -> Recalibration:
    """The workflow on this node."""
    if not made:
        made.append(Recalibration(node, imaging_workers))
    made[0].node, made[0].workers, made[0].inputs = node, imaging_workers, NetworkInputs(node.store)
    return made[0]


def exams(
    bank: BankId, count: int, key: str, shift: float, *, seed: int, in_shadow: bool = False, release: str = "parent"
) -> list[AssessedExam]:
    """Four images each, sixty exams a day, scored with the maker's bank."""
    random = np.random.default_rng(seed)
    places = [(side, view) for side in Laterality for view in (View.CC, View.MLO)]
    logits = random.normal(shift, 1.0, (count, 1)) + random.normal(0, 0.5, (count, 4))
    return [
        AssessedExam(
            study_id=StudyId(f"S-{seed}-{number}"),
            scanner_key=key,
            domain=bank.domain,
            release_id=release,
            bank_sha256=bank.sha256,
            taken_on=FIRST + timedelta(days=number // 60),
            age=60,
            in_shadow=in_shadow,
            positive=False,
            images=tuple(
                ScoredView(f"{seed:032x}{4 * number + place:032x}", *each, float(logits[number, place]), positive=False)
                for place, each in enumerate(places)
            ),
        )
        for number in range(count)
    ]


@pytest.fixture(scope="module")
def entered(parent: tuple[Path, BankId], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with the maker's frozen reference, and 600 exams of a new scanner in the shadow, whose scores are higher."""
    path, (_, bank) = tmp_path_factory.mktemp("entered") / "ledger.sqlite", parent
    with closing(open_ledger(f"sqlite:///{path}")) as ledger:
        reference = exams(bank, 1000, "Maker / Model / 1", 0.0, seed=1)
        enter_exams(ledger, reference)
        enter_exams(ledger, exams(bank, 600, "New / Model / 1", 2.0, seed=2, in_shadow=True))
        freeze(ledger, frozen(reference))
    return path


@pytest.fixture
def node(open_one: OpenOne, parent: tuple[Path, BankId], entered: Path, tmp_path: Path) -> Node:
    """A node that begins with this ledger."""
    shutil.copy(entered, tmp_path / "ledger.sqlite")
    (tmp_path / "domains.toml").write_text(DOMAINS)
    return open_one(f"studies.domains_file={tmp_path}/domains.toml", f"releases.folder={parent[0]}", "releases.initial=parent")


def frozen(reference: Sequence[AssessedExam]) -> FrozenReference:
    """These exams as a reference."""
    first = reference[0]
    days = (first.taken_on, reference[-1].taken_on)
    return FrozenReference(
        first.scanner_key,
        first.domain,
        first.release_id,
        first.bank_sha256,
        "p" * 64,
        len(reference),
        *days,
        datetime.now(UTC),
        "test",
        "{}",
    )


@pytest.fixture
def run(work: Recalibration, tmp_path: Path) -> Iterator[Callable[[Sequence[Domain], str], None]]:
    """Runs domains over a window and waits until they are through."""
    engine = Engine(f"sqlite:///{tmp_path}/engine.sqlite", "test-0", 4)
    engine.launch({}, {}, one_over_all_processes=[RECALIBRATE])

    def run_now(chosen: Sequence[Domain], window: str) -> None:
        names = enqueue_all(work, engine, chosen, window)
        deadline = time.monotonic() + 120
        while not all(map(engine.has_ended, names)):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    yield run_now
    engine.stop(0)


Run = Callable[[Sequence[Domain], str], None]


def test_a_new_scanner_in_the_shadow_is_aligned_and_proposed(run: Run, node: Node) -> None:
    """Without a label: the maker's bank under the new domain's name, and points at which it flags as many as the reference."""
    run([NEW], "w1")
    (made,) = list_proposals(node.ledger)
    assert (made.kind, made.domain, made.scanner_key, made.state) == (ChangeKind.ALIGNMENT, NEW, "New / Model / 1", ProposalState.PASSED)
    (ended,) = runs_of_window(node.ledger, "w1")
    assert f"alignment of New / Model / 1: {made.proposal_id} passed" in ended.outcome
    assert "statistics of new: The domain has 600 exams and at least 1250 are needed" in ended.outcome
    assert not ended.failed
    assert not (node.settings.storage.folder / "recalibration" / "new" / "w1").exists()
    assert audit.first_broken_link(node.ledger) is None


def test_a_window_is_run_once_and_another_waits_for_later_exams(run: Run, node: Node, parent: tuple[Path, BankId]) -> None:
    """Whoever asks again changes nothing; each exam judges once, and the next proposal takes the place of the one that waits."""
    run([NEW], "w1")
    before: list[Proposal] = list(list_proposals(node.ledger))
    run([NEW], "w1")
    assert list(list_proposals(node.ledger)) == before
    run([NEW], "w2")
    assert list(list_proposals(node.ledger)) == before
    assert "The part to judge by has 0 exams" in runs_of_window(node.ledger, "w2")[0].outcome
    more = exams(parent[1], 300, "New / Model / 1", 2.0, seed=5, in_shadow=True)
    enter_exams(node.ledger, [replace(each, taken_on=each.taken_on + timedelta(days=30)) for each in more])
    run([NEW], "w3")
    assert sorted(each.state for each in list_proposals(node.ledger)) == [ProposalState.PASSED, ProposalState.WITHDRAWN]


def test_a_domain_that_fails_holds_up_no_other_and_says_why(run: Run, node: Node, parent: tuple[Path, BankId]) -> None:
    """Its exams name a release that is gone; the others are through, and the next window tries it again."""
    enter_exams(node.ledger, exams(parent[1], 10, "Odd / Model / 1", 0.0, seed=3, in_shadow=True, release="gone"))
    run([ODD, NEW], "w1")
    odd, new = sorted(runs_of_window(node.ledger, "w1"), key=lambda each: each.domain, reverse=True)
    assert (odd.failed, new.failed) == (True, False)
    assert "gone" in odd.outcome
    assert [each.domain for each in latest_runs(node.ledger)] == [NEW, ODD]


def test_a_well_domain_waits_for_its_outcomes(run: Run, node: Node) -> None:
    """Nothing has shifted: only what outcomes could say is asked for, and there are none."""
    run([MAKER], "w1")
    (ended,) = runs_of_window(node.ledger, "w1")
    assert list_proposals(node.ledger) == []
    assert "calibration of Maker / Model / 1: There are 0 exams with a known malignancy" in ended.outcome
    assert "fine-tuning of maker: There are 0" in ended.outcome
    assert "alignment" not in ended.outcome


def test_prospects_say_what_a_run_would_do_and_write_nothing(node: Node) -> None:
    """The same wishes as a run has, without a row, a file or a proposal."""
    found = dict.fromkeys((MAKER, NEW), ())
    for domain, wish in prospects(node, chosen_domains(node, []), datetime.now(UTC)):
        found[domain] = (*found[domain], wish)
    assert found[NEW][0] == Wish(ChangeKind.ALIGNMENT, "New / Model / 1")
    assert isinstance(found[NEW][1], Wish)
    assert found[NEW][1].why_not
    assert latest_runs(node.ledger) == []
    assert not (node.settings.storage.folder / "recalibration").exists()


def test_a_domain_that_nobody_knows_is_refused_by_name(node: Node) -> None:
    """With those that there are."""
    assert set(chosen_domains(node, [])) == {MAKER, NEW}
    with pytest.raises(NothingToRun, match="maker, new"):
        chosen_domains(node, ["nwe"])


def test_an_interrupted_run_goes_on_with_the_exams_that_it_began_with(
    run: Run, work: Recalibration, node: Node, parent: tuple[Path, BankId]
) -> None:
    """What comes between two steps has no part in the run, whichever process goes on with it."""
    run([], "")  # the engine is there
    later = [
        replace(each, taken_on=FIRST + timedelta(days=30)) for each in exams(parent[1], 700, "New / Model / 1", 2.0, seed=4, in_shadow=True)
    ]
    wishes = work.collect("new", "w1")
    enter_exams(node.ledger, later)
    assert [(kind, bool(why_not)) for kind, _, why_not in wishes] == [("alignment", False), ("statistics", True)]
    name = work.generate("new", "w1", "alignment", "New / Model / 1")
    dossier = Dossier(node.settings.storage.folder / "recalibration" / "new" / "w1")
    candidate = dossier.candidate(name, dossier.gathered().cohort())
    assert len(candidate.fitted) + len(candidate.judged) == 600
    assert work.propose("new", "w1", name) == work.propose("new", "w1", name)
    assert len(list_proposals(node.ledger)) == 1


def test_a_domain_without_exams_or_reference_waits_and_has_not_failed(run: Run, node: Node) -> None:
    """Nothing to hold it against is no failure of the run: it says what is missing."""
    with node.ledger.transaction() as session:
        session.execute(update(DriftReferenceRow).values(ended_at=datetime.now(UTC)))
    run([NEW], "w1")
    (ended,) = runs_of_window(node.ledger, "w1")
    assert not ended.failed
    assert "Nothing is frozen" in ended.outcome
