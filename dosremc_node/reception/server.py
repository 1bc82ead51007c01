"""The DICOM listener: verification and storage, as SCP."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import cast

import structlog
from pydicom.dataset import Dataset
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.pdu_primitives import A_ASSOCIATE

from dosremc_node.artifacts import ArtifactStore, clean_incoming
from dosremc_node.certificates import Certificates
from dosremc_node.reception.admission import Admission
from dosremc_node.reception.connection import be_patient, close_at_end, end_probe, prepare
from dosremc_node.reception.contexts import agree
from dosremc_node.reception.door import Door
from dosremc_node.reception.listener import Listener
from dosremc_node.reception.spooling import IMPLEMENTATION_UID, IMPLEMENTATION_VERSION, SpooledObject, SpoolingProvider
from dosremc_node.reception.storing import SUCCESS, Storing
from dosremc_node.reception.waiting import wait_for_the_network
from dosremc_node.records import CommitmentReport, ReceivedObject
from dosremc_node.settings import ReceptionSettings
from dosremc_node.storage_commitment import Accept, answer_report

log = structlog.get_logger()

MAXIMUM_PDU = 131072
_POLL_SECONDS = 0.05
_MEGABYTE = 1 << 20


def log_unexpected_report(_: CommitmentReport) -> None:
    """A report on storage commitment where nobody asked for any."""
    log.warning("commitment_not_asked_for")


Refused = Callable[[str, str, str, str], None]
"""Told of every association and object that was refused: which of both, calling AE title, address and why."""


def ignore_refusal(kind: str, calling_ae_title: str, address: str, why: str) -> None:
    """Where nobody counts them."""


class Receiver:
    """Takes in what peers send; each object is in the store and accepted before its sender hears Success.

    ``accept`` is called for each object once it is safe in the store, from the association's own thread, and commits
    the ledger row. It raises `NotDicom` where the bytes make no sense (the sender gets 0xC000); whatever else it raises
    gives the sender 0x0110. Low space gives 0xA700. ``accept_report`` enters what a PACS reports on storage commitment.
    """

    def __init__(
        self,
        settings: ReceptionSettings,
        ae_title: str,
        store: ArtifactStore,
        accept: Callable[[ReceivedObject], None],
        accept_report: Accept = log_unexpected_report,
        *,
        door: Door | None = None,
        refused: Refused = ignore_refusal,
    ) -> None:
        self._settings = settings
        self._ae_title = ae_title
        self._store = store
        self._storing = Storing(store, accept)
        self._accept_report = accept_report
        self._door = door
        self._refused = refused
        self._server: Listener | None = None
        self._accepting: threading.Thread | None = None
        self._stopping = threading.Event()

    @property
    def port(self) -> int:
        """The port it listens on; what the settings say until it is started."""
        return int(self._server.server_address[1]) if self._server else self._settings.port

    def start(self) -> None:
        """Remove what a crash left half received, and listen; raises `OSError` where the address is taken, or `TlsUnusable`."""
        certificates = Certificates(self._settings.tls) if self._settings.tls else None
        removed = clean_incoming(self._store.incoming)
        self._door = self._door or Door.open(self._settings.host, self._settings.port)
        self._admission = Admission(self._settings, self._ae_title, self._door.places)
        self._server = Listener(self._door, self._entity(), self._settings, certificates, self._handlers())
        self._door.places.listen()
        self._accepting = threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), name="Reception", daemon=True)
        self._accepting.start()
        log.info("reception_started", ae_title=self._ae_title, host=self._settings.host, port=self.port, leftovers_removed=removed)

    def is_listening(self) -> bool:
        """Whether the thread that accepts connections is there."""
        return self._accepting is not None and self._accepting.is_alive()

    def stop(self, grace_seconds: float | None = None) -> None:
        """Take no new associations, give those that are open some time to end (`drain_seconds`), and abort the rest."""
        if self._server is None or self._door is None:
            return
        server, self._server, self._admission.is_closed = self._server, None, True
        server.shutdown()
        self._stopping.set()
        deadline = time.monotonic() + (self._settings.drain_seconds if grace_seconds is None else grace_seconds)
        # Who has no association yet is not waited for.
        while any(association.is_established for association in server.active_associations) and time.monotonic() < deadline:
            time.sleep(0.02)
        rest = server.active_associations
        for association in rest:
            association.abort()
        for association in rest:
            association.join(timeout=self._settings.artim_timeout_seconds)
        self._door.close()
        log.info("reception_stopped", aborted=len(rest))

    def _entity(self) -> AE:
        entity = AE(self._ae_title)
        entity.maximum_pdu_size = MAXIMUM_PDU
        entity.maximum_associations = sys.maxsize  # `Admission` counts: pynetdicom would count port probes too
        entity.acse_timeout = self._settings.artim_timeout_seconds
        entity.dimse_timeout = self._settings.dimse_timeout_seconds
        entity.network_timeout = self._settings.idle_timeout_seconds
        entity.implementation_class_uid = IMPLEMENTATION_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION
        return entity

    def _handlers(self) -> list[EventHandlerType]:
        return [
            (evt.EVT_CONN_OPEN, close_at_end),
            (evt.EVT_CONN_OPEN, self._connected),
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_C_STORE, self._stored),
            (evt.EVT_N_EVENT_REPORT, answer_report, [self._accept_report]),
            (evt.EVT_CONN_CLOSE, _disconnected),
            (evt.EVT_CONN_CLOSE, end_probe),
        ]

    def _connected(self, event: Event) -> None:
        """A connection: have its objects spooled, and all that it holds given back at its end."""
        association = event.assoc
        # First, because the rest may fail where descriptors run out, and pynetdicom goes on then all the same.
        association.run = partial(self._run, association, association.run)  # type: ignore[method-assign]
        association.dimse = SpoolingProvider(association, self._new_object, self._settings.dimse_timeout_seconds)
        prepare(association, self._settings.artim_timeout_seconds)
        wait_for_the_network(association)

    def _run(self, association: Association, run: Callable[[], None]) -> None:
        try:
            run()
        finally:
            self._admission.leave(association)
            cast("Listener", association._server).connection_ended()  # noqa: SLF001 - nothing else knows it

    def _new_object(self) -> SpooledObject:
        settings = self._settings
        return SpooledObject(self._store, settings.keep_free_megabytes * _MEGABYTE, settings.object_megabytes * _MEGABYTE)

    def _requested(self, event: Event) -> None:
        """An association request: reject it, or agree on presentation contexts."""
        association = event.assoc
        request, address = cast("A_ASSOCIATE", association.requestor.primitive), association.requestor.address or ""
        rejection = self._admission.admit(request, address, association)
        if rejection is None:
            be_patient(association, self._settings.idle_timeout_seconds)
            association.acceptor.supported_contexts = agree(request.presentation_context_definition_list)
            return
        log.warning("association_rejected", calling_ae_title=request.calling_ae_title, address=address, why=rejection.why)
        self._refused("association", request.calling_ae_title, address, rejection.why)
        association.acse.send_reject(rejection.result, rejection.source, rejection.reason)
        association.kill()

    def _stored(self, event: Event) -> Dataset:
        """An object: keep it, and hold the answer back where its peer is too fast."""
        answer = self._storing.answer(event)
        requestor = event.assoc.requestor
        if answer.Status != SUCCESS:
            self._refused("object", requestor.ae_title, requestor.address or "", f"0x{answer.Status:04X}")
        # No longer than the association may be silent: it would be aborted.
        wait = min(self._admission.seconds_to_wait(requestor.ae_title, requestor.address or ""), self._settings.idle_timeout_seconds / 2)
        self._stopping.wait(wait)
        return answer


def _disconnected(event: Event) -> None:
    """The connection is gone: drop what was half received."""
    if isinstance(event.assoc.dimse, SpoolingProvider):
        event.assoc.dimse.discard()
