"""A run of recalibration, on one page: one domain, one window, executed once over all processes, durable and resumable.

::

    tick --> recalibrate:<domain>:<window> --> collect --> generate --> propose --> [looks, proposals] --> finish --> [runs]
                                                           for each generator
    tick --> tend --> [promotions, shadows, rollbacks]

`collect` freezes what the run works on, so that one that was interrupted goes on with the same exams; `generate` makes a candidate; `propose`
asks the gate and enters it with its report, passed or refused; `tend` looks after what was proposed. What stands in brackets are rows of the
ledger. A generator that fails holds up no other, nor does a domain, and what failed and why stands in the ledger.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from threading import Event

import numpy as np
import structlog
from numpy.typing import NDArray

from dosremc_node.engine import Engine, Workflows, step, workflow, workflows
from dosremc_node.errors import NodeError, NodeStopping, NoReferenceForDomain, NothingScored, NothingToRun, StepFailed
from dosremc_node.failures import describe
from dosremc_node.gathering import domains, gather
from dosremc_node.imaging import ImagingWorkers
from dosremc_node.inputs import NetworkInputs
from dosremc_node.ledger import looks
from dosremc_node.ledger.recalibration_runs import FAILED
from dosremc_node.node import Node
from dosremc_node.recalibration import ChangeKind, ChangePlan, read_change_plan
from dosremc_node.recalibration.candidates import Candidate, Situation, aligned, calibrated, fine_tuned, with_statistics
from dosremc_node.recalibration.dossier import Dossier, Gathered
from dosremc_node.recalibration.judging import put_forward
from dosremc_node.recalibration.live_images import Read
from dosremc_node.recalibration.proposing import site_of
from dosremc_node.recalibration.tending import tend
from dosremc_node.recalibration.wishes import Wish, interval_of, since, wishes
from dosremc_node.records import Domain, Laterality, Release

RECALIBRATE, TEND = "recalibrate", "tend"
"""Queues, each with one workflow at once over all processes: a guard must not wait for a training to end."""
EXECUTORS = "recalibrators"
"""Slots of their own: a worker, which knows nothing of these workflows, must never take one over."""
_FOLDER = "recalibration"

log = structlog.get_logger(__name__)


@workflows
class Recalibration(Workflows):
    """The workflow of recalibration. Its arguments are names of domains and windows."""

    def __init__(self, node: Node, workers: ImagingWorkers) -> None:
        super().__init__("recalibration")
        self.node = node
        self.workers = workers
        self.inputs = NetworkInputs(node.store)
        self.stopped = Event()
        """Set once the engine has stopped: what runs can enter nothing any more, and is to end."""

    @workflow
    def recalibrate(self, domain: str, window: str) -> None:
        """Run a domain over a window. Its outcome, a sentence for people, is entered in any case."""
        try:
            found = self.collect(domain, window)
            outcomes = [self._one(domain, window, *each) for each in found]
            self.finish(domain, window, "; ".join(outcomes) or "nothing to do")
        except NodeStopping:
            log.info("recalibration_interrupted", domain=domain, window=window)
        except (NothingScored, NoReferenceForDomain) as waits:
            self.finish(domain, window, str(waits))
        except Exception as error:  # noqa: BLE001 - the boundary: a domain that fails holds up no other, and says why
            log.error("recalibration_failed", domain=domain, window=window, reason=describe(error))  # noqa: TRY400 - no traceback: see `describe`
            self.finish(domain, window, f"{FAILED}{describe(error)}")

    @workflow
    def tend(self) -> None:
        """See to what was proposed: promotions that were interrupted, shadows, guard bands."""
        self.look_after()

    @step
    def look_after(self) -> None:
        """Repeated after a crash it does what is left."""
        try:
            tend(
                self.node.ledger,
                self.node.settings,
                plan_of(self.node),
                self._read_for(self.node.release_in_force().release),
                datetime.now(UTC),
            )
        except NodeError as error:
            log.error("proposals_not_tended", reason=str(error))  # noqa: TRY400 - a traceback says no more

    def _one(self, domain: str, window: str, kind: str, scanner_key: str, why_not: str) -> str:
        """What came of one generator, in words."""
        what = f"{kind} of {scanner_key or domain}"
        if why_not:
            return f"{what}: {why_not}"
        try:
            return f"{what}: {self.propose(domain, window, self.generate(domain, window, kind, scanner_key))}"
        except NodeStopping:
            raise
        except StepFailed as error:
            log.error("generator_failed", domain=domain, window=window, kind=kind, reason=str(error))  # noqa: TRY400 - no traceback: see `describe`
            return f"{what}: {FAILED}{error}"
        except NodeError as error:
            return f"{what}: {error}"

    @step
    def collect(self, domain: str, window: str) -> list[tuple[str, str, str]]:
        """Freeze what the run works on; answers which generators are called for (kind, scanner key, what it still waits for)."""
        if not looks.claim_run(self.node.ledger, Domain(domain), window, RECALIBRATE, datetime.now(UTC)):
            return []
        gathered = gather(self.node, Domain(domain), datetime.now(UTC))
        digest = self._dossier(domain, window).keep_gathered(gathered)
        log.info("recalibration_begun", domain=domain, window=window, exams=len(gathered.exams), data=digest[:12])
        return [(wish.kind.value, wish.scanner_key, wish.why_not) for wish in wished(self.node, gathered)]

    @step
    def generate(self, domain: str, window: str, kind: str, scanner_key: str) -> str:
        """Make a candidate; answers its name in the run's folder."""
        dossier = self._dossier(domain, window)
        name = candidate_name(ChangeKind(kind), scanner_key)
        dossier.keep_candidate(name, self._candidate(dossier, ChangeKind(kind), scanner_key))
        return name

    @step
    def propose(self, domain: str, window: str, name: str) -> str:
        """Have the gate judge a candidate, and enter it with its report, passed or refused; answers that in words."""
        dossier = self._dossier(domain, window)
        gathered = dossier.gathered()
        situation, candidate = situation_of(self.node, gathered), dossier.candidate(name, gathered.cohort())
        site = site_of(self.node.ledger, self.node.settings, situation.plan)
        made = put_forward(site, situation, candidate, window=window, proposer=RECALIBRATE, now=datetime.now(UTC))
        log.info("change_proposed", proposal=made.proposal_id, kind=made.kind, domain=domain, state=made.state)
        return f"{made.proposal_id} {made.state}: {made.reason}"

    @step
    def finish(self, domain: str, window: str, outcome: str) -> None:
        """Enter what came of the run, and let its folder go."""
        looks.claim_run(self.node.ledger, Domain(domain), window, RECALIBRATE, datetime.now(UTC))  # so that what failed early has a row too
        looks.finish_run(self.node.ledger, Domain(domain), window, outcome, datetime.now(UTC))
        self._dossier(domain, window).remove()
        log.info("recalibration_finished", domain=domain, window=window, outcome=outcome)

    def _candidate(self, dossier: Dossier, kind: ChangeKind, scanner_key: str) -> Candidate:
        gathered = dossier.gathered()
        situation, cohort = situation_of(self.node, gathered), gathered.cohort()
        until = looks.judged_until(self.node.ledger, looks.Family(kind.value, gathered.domain, scanner_key))
        read = self._read_for(situation.parent.release)
        if kind is ChangeKind.ALIGNMENT:
            return aligned(situation, scanner_key, since(cohort.of_key(scanner_key), gathered.shifted.get(scanner_key)), until)
        if kind is ChangeKind.CALIBRATION:
            return calibrated(situation, scanner_key, cohort.of_key(scanner_key), until)
        if kind is ChangeKind.STATISTICS:
            interval = interval_of(cohort, gathered.shifted)
            return with_statistics(situation, interval, gathered.taken_while(interval), read, until)
        return fine_tuned(situation, cohort, until, read, checkpoint=dossier.checkpoint(candidate_name(kind, scanner_key)))

    def _read_for(self, release: Release) -> Read:
        """Reads network inputs of this release, until the engine has stopped."""

        def read(sha256: str, side: Laterality) -> NDArray[np.float32]:
            if self.stopped.is_set():
                raise NodeStopping
            return self.inputs.get(release, sha256, side, self.workers).pixels

        return read

    def _dossier(self, domain: str, window: str) -> Dossier:
        return Dossier(self.node.settings.storage.folder / _FOLDER / domain / window)


# --- What a run works on ----------------------------------------------------------------------------------------------


def situation_of(node: Node, gathered: Gathered) -> Situation:
    """The domain, the release in force when the run began, and what it is held against."""
    return Situation(
        parent=node.shelf.load(gathered.parent),
        domain=gathered.domain,
        scored_with=gathered.scored_with,
        plan=plan_of(node),
        reference=gathered.reference_cohort().scores,
        reference_point=gathered.reference_point,
    )


def wished(node: Node, gathered: Gathered) -> Sequence[Wish]:
    """Which generators the domain calls for, and what each still waits for."""

    def judged_until(kind: ChangeKind, scanner_key: str) -> date | None:
        return looks.judged_until(node.ledger, looks.Family(kind.value, gathered.domain, scanner_key))

    return tuple(wishes(situation_of(node, gathered), gathered.cohort(), gathered.shifted, judged_until))


def prospects(node: Node, chosen: Sequence[Domain], now: datetime) -> Iterator[tuple[Domain, Wish | str]]:
    """What a run would do now in each of these domains, or why nothing. Nothing is written."""
    for domain in chosen:
        try:
            found: Sequence[Wish | str] = wished(node, gather(node, domain, now)) or ["nothing calls for a change"]
            yield from ((domain, wish) for wish in found)
        except NodeError as error:
            yield domain, str(error)


def plan_of(node: Node) -> ChangePlan:
    """The change plan of the settings. Raises `ChangePlanUnreadable`."""
    return read_change_plan(node.settings.recalibration.change_plan_file)


def candidate_name(kind: ChangeKind, scanner_key: str) -> str:
    """Safe as a file's name; a scanner key is not."""
    return f"{kind.value}-{hashlib.sha256(scanner_key.encode()).hexdigest()[:8]}" if scanner_key else kind.value


# --- When -------------------------------------------------------------------------------------------------------------


def window_of(now: datetime) -> str:
    """The window of a run: the day on which it begins, by the clock on the wall."""
    return now.astimezone().date().isoformat()


def chosen_domains(node: Node, named: Sequence[str]) -> Sequence[Domain]:
    """The domains of these names, all where none is named. Raises `NothingToRun`."""
    known = domains(node)
    for name in named:
        if name not in known:
            raise NothingToRun(domain=name, known=", ".join(known))
    return [Domain(name) for name in named] or known


def enqueue_tending(work: Recalibration, engine: Engine, now: datetime) -> str:
    """Have proposals looked after, once for this second; answers the engine's name."""
    name = f"{TEND}:{now.astimezone(UTC):%Y-%m-%dT%H:%M:%S}"
    engine.enqueue(TEND, name, work.tend)
    return name


def enqueue_all(work: Recalibration, engine: Engine, chosen: Sequence[Domain], window: str) -> Sequence[str]:
    """Have each domain run over the window, one after the other; answers the engine's names. A window is run once, however often it is asked."""
    names = [f"{RECALIBRATE}:{domain}:{window}" for domain in chosen]
    for name, domain in zip(names, chosen, strict=True):
        engine.enqueue(RECALIBRATE, name, work.recalibrate, str(domain), window)
    return names
