"""What the ledger says is due, handed to the engine: again and again, because the ledger is the truth and the engine may forget."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Event

import structlog

from dosremc_node import studies
from dosremc_node.artifacts import ArtifactKind
from dosremc_node.engine import Engine, take_over
from dosremc_node.failures import describe
from dosremc_node.ledger import audit_arm, clock, commitments, deliveries, outcomes, receiving, reconciliation, revisions, shadows
from dosremc_node.records import StudyId
from dosremc_node.supervision import beat
from dosremc_node.workflow import Journey

ASSESS, DELIVER, COMMIT, COMPARE, RECONCILE = "assess", "deliver", "commit", "compare", "reconcile"
EXECUTORS = "executors"
_LOOK_AGAIN_SECONDS = 30.0
_CLEAN_UP_SECONDS = 3600.0
_ENGINE_RETENTION = timedelta(days=7)
_MEGABYTE = 1 << 20

log = structlog.get_logger(__name__)


class Sweeper:
    """Enqueues what is due under names that the ledger's rows give it, such as ``assess:<study>:<revision>:<drive>``.

    The engine executes a name once. So it does not matter how many sweepers look, nor how often.
    """

    def __init__(self, journey: Journey, engine: Engine) -> None:
        self._journey = journey
        self._node = journey.node
        self._engine = engine
        self._looked_at: dict[str, float] = {}
        self._cleaned_up = time.monotonic()

    def run(self, stop: Event) -> None:
        """Sweep until ``stop`` is set."""
        while not stop.is_set():
            beat()
            try:
                self.sweep()
                self._take_over()
                self._clean_up()
            except Exception as error:  # noqa: BLE001 - the boundary: whatever it was, everything is still due at the next look
                log.warning("sweep_failed", reason=describe(error))
                stop.wait(1.0)
            stop.wait(self._node.settings.worker.poll_seconds)

    def sweep(self) -> None:
        """Look once."""
        self._forget_another_clock()
        self._open_due_revisions()
        self._enqueue_comparisons()
        self._enqueue_assessments()
        self._enqueue_deliveries()
        self._enqueue_commitments()
        self._enqueue_reconciliation()
        self._match_outcomes()
        self._draw_audit_arm()

    def _forget_another_clock(self) -> None:
        """Let nothing wait for a moment that was named while the clock was ahead."""
        quiet = timedelta(seconds=self._node.settings.studies.quiet_seconds)
        retry = {each.name: timedelta(seconds=each.retry_seconds_at_most) for each in self._node.settings.destinations}
        reconciled = self._node.settings.reconciliation
        asking = {reconciled.source: timedelta(hours=reconciled.interval_hours)}
        commitment = {each.name: timedelta(hours=each.commitment_hours) for each in self._node.settings.destinations}
        if brought := clock.bring_near(self._node.ledger, datetime.now(UTC), quiet, retry, asking, commitment=commitment):
            log.warning("clock_was_ahead", brought_near=brought)

    def _open_due_revisions(self) -> None:
        now = datetime.now(UTC)
        for study_id in revisions.due_studies(self._node.ledger, now):
            if self._was_looked_at(f"open:{study_id}"):
                continue
            try:
                self._open_revision(study_id, now)
            except Exception as error:  # noqa: BLE001 - the boundary: one study that cannot be planned holds up no other
                self._looked_at[f"open:{study_id}"] = time.monotonic()
                log.error("revision_not_opened", study=study_id, reason=describe(error))  # noqa: TRY400 - a traceback could quote a patient

    def _open_revision(self, study_id: StudyId, now: datetime) -> None:
        release = self._node.release_in_force().release
        plan = partial(
            studies.make_plan,
            release=release,
            domains=self._node.domains,
            settings=self._node.settings.studies,
            withheld=shadows.withheld(self._node.ledger),
        )
        revision = revisions.open_revision(self._node.ledger, study_id, plan, now)
        if revision:
            images, domain = len(revision.plan.images), revision.plan.domain
            log.info("revision_opened", study=study_id, revision=revision.number, images=images, domain=domain)

    def _enqueue_comparisons(self) -> None:
        for instance_id in receiving.contenders(self._node.ledger):
            # Rare: not worth a queue that has to be asked all the time.
            self._enqueue(f"{COMPARE}:{instance_id}", partial(self._engine.enqueue, ASSESS), self._journey.compare, instance_id)

    def _enqueue_assessments(self) -> None:
        for study_id, number, drive in revisions.revisions_to_assess(self._node.ledger):
            name = f"{ASSESS}:{study_id}:{number}:{drive}"
            self._enqueue(name, partial(self._engine.enqueue, ASSESS), self._journey.assess, study_id, number)

    def _enqueue_deliveries(self) -> None:
        for due in deliveries.due_deliveries(self._node.ledger, datetime.now(UTC)):
            arguments = dataclasses.astuple(due)
            name = ":".join(map(str, (DELIVER, *arguments)))
            self._enqueue(name, partial(self._engine.enqueue_for, due.destination, DELIVER), self._journey.deliver, *arguments)

    def _enqueue_commitments(self) -> None:
        now = datetime.now(UTC)
        if parked := commitments.park_overdue(self._node.ledger, now):
            log.warning("commitment_overdue", documents=parked)
        for due in commitments.due_commitments(self._node.ledger, now):
            arguments = dataclasses.astuple(due)
            name = ":".join(map(str, (COMMIT, *arguments)))
            self._enqueue(name, partial(self._engine.enqueue_for, due.destination, DELIVER), self._journey.commit, *arguments)

    def _enqueue_reconciliation(self) -> None:
        source, now = self._node.settings.reconciliation.source, datetime.now(UTC)
        if source and (due_at := reconciliation.due(self._node.ledger, source, now)):
            name = f"{RECONCILE}:{source}:{due_at.timestamp()}"
            self._enqueue(name, partial(self._engine.enqueue, RECONCILE), self._journey.reconcile)

    def _match_outcomes(self) -> None:
        """Not worth a workflow: a match is one transaction, and what is not matched is due at the next look."""
        if matched := outcomes.match_due(self._node.ledger, self._node.settings.outcomes.match_within, datetime.now(UTC)):
            log.info("outcomes_matched_again", outcomes=matched)

    def _draw_audit_arm(self) -> None:
        share = self._node.settings.outcomes.audit_share
        if share and not self._was_looked_at("audit arm"):
            self._looked_at["audit arm"] = time.monotonic()
            if drawn := audit_arm.draw(self._node.ledger, share, datetime.now(UTC)):
                log.info("audit_arm_drawn", exams=drawn)

    def _enqueue(self, name: str, enqueue: Callable[..., None], workflow: Callable[..., None], *arguments: str | int) -> None:
        """Enqueue under ``name``, or under the next free one where that has ended and its row is due all the same."""
        if self._was_looked_at(name):
            return
        self._looked_at[name] = time.monotonic()
        free, again = name, 0
        while self._engine.has_ended(free):
            again += 1
            free = f"{name}.{again}"
        enqueue(free, workflow, *arguments)

    def _take_over(self) -> None:
        if not self._was_looked_at("executors"):
            self._looked_at["executors"] = time.monotonic()
            take_over(self._node.settings.storage.folder / EXECUTORS)

    def _was_looked_at(self, name: str) -> bool:
        """Whether it was looked at a moment ago."""
        at = self._looked_at.get(name)
        return at is not None and time.monotonic() - at < _LOOK_AGAIN_SECONDS

    def _clean_up(self) -> None:
        now = time.monotonic()
        if now - self._cleaned_up < _CLEAN_UP_SECONDS:
            return
        self._cleaned_up = now
        self._looked_at = {name: at for name, at in self._looked_at.items() if now - at < _CLEAN_UP_SECONDS}
        log.info("engine_cleaned_up", workflows=self._engine.forget_finished(_ENGINE_RETENTION))
        inputs_at_most = self._node.settings.storage.inputs_megabytes * _MEGABYTE
        log.info("inputs_cleaned_up", inputs=self._node.store.keep_newest(ArtifactKind.INPUT, inputs_at_most))
