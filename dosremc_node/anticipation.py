"""Work that starts when an image arrives: network inputs of early views are made while the study's later views are on their way."""

from __future__ import annotations

from threading import Event, Lock

import structlog

from dosremc_node import studies
from dosremc_node.failures import describe
from dosremc_node.imaging import ImagingWorkers
from dosremc_node.inputs import NetworkInputs
from dosremc_node.ledger import receiving
from dosremc_node.node import Node
from dosremc_node.records import ImageHeader

log = structlog.get_logger(__name__)


class Anticipation:
    """Prepares images as they arrive, as many at a time as threads are in `run`, and only in processes that have nothing else to do.

    So an assessment waits for one image at most. What is made is safe to lose. What cannot be made is left to the assessment, which says why.
    """

    def __init__(self, node: Node, inputs: NetworkInputs, workers: ImagingWorkers) -> None:
        self._node = node
        self._inputs = inputs
        self._workers = workers
        self._seen = 0
        self._looking = Lock()

    def run(self, stop: Event) -> None:
        """Prepare what arrives until ``stop`` is set."""
        while not stop.is_set():
            try:
                self.prepare_next(stop)
            except Exception as error:  # noqa: BLE001 - the boundary: what is only done ahead of time may fail in any way
                log.info("image_not_anticipated", reason=describe(error))
                stop.wait(self._node.settings.worker.poll_seconds)

    def prepare_next(self, stop: Event) -> bool:
        """Look at the next image that has arrived; answers whether there was one. One thread looks, the others prepare or wait to look."""
        with self._looking:
            arrival = self._next_arrival()
            if arrival is None:
                stop.wait(self._node.settings.worker.poll_seconds)
                return False
        release = self._node.release_in_force().release
        plan = studies.make_plan([arrival], release, self._node.domains, self._node.settings.studies)
        for image in plan.images:
            if plan.bank and image.not_assessed is None:
                self._inputs.get(release, image.sha256, image.header.laterality, self._workers)
        return True

    def _next_arrival(self) -> tuple[int, str, ImageHeader] | None:
        if not self._workers.idle:
            return None
        arrival = receiving.next_arrival(self._node.ledger, self._seen)
        if arrival is not None:
            self._seen = arrival[0]
        return arrival
