"""Work that starts when an image arrives: network inputs of early views are made while the study's later views are on their way."""

from __future__ import annotations

from threading import Event

import structlog

from dosremc_node import studies
from dosremc_node.failures import describe
from dosremc_node.imaging import ImagingWorkers
from dosremc_node.inputs import NetworkInputs
from dosremc_node.ledger import receiving, revisions
from dosremc_node.node import Node

log = structlog.get_logger(__name__)


class Anticipation:
    """Prepares one image at a time, with workers of its own, and begins none while a study is being assessed: no assessment waits for it.

    What it makes is safe to lose. What it cannot make is left to the assessment, which says why.
    """

    def __init__(self, node: Node, inputs: NetworkInputs, workers: ImagingWorkers) -> None:
        self._node = node
        self._inputs = inputs
        self._workers = workers
        self._seen = 0

    def run(self, stop: Event) -> None:
        """Prepare what arrives until ``stop`` is set."""
        while not stop.is_set():
            try:
                found = self.prepare_next()
            except Exception as error:  # noqa: BLE001 - the boundary: what is only done ahead of time may fail in any way
                log.info("image_not_anticipated", reason=describe(error))
                found = False
            if not found:
                stop.wait(self._node.settings.worker.poll_seconds)

    def prepare_next(self) -> bool:
        """Look at the next image that has arrived; answers whether there was one."""
        if revisions.revisions_to_assess(self._node.ledger):
            return False
        arrival = receiving.next_arrival(self._node.ledger, self._seen)
        if arrival is None:
            return False
        self._seen = arrival[0]
        release = self._node.release_in_force().release
        plan = studies.make_plan([arrival], release, self._node.domains, self._node.settings.studies)
        for image in plan.images:
            if plan.bank and image.not_assessed is None:
                self._inputs.get(release, image, self._workers)
        return True
