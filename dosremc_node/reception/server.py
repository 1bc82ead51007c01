"""The DICOM listener: verification and storage, as SCP."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from socketserver import BaseServer
from typing import cast

import structlog
from pynetdicom import AE, evt
from pynetdicom.events import Event, EventHandlerType
from pynetdicom.pdu_primitives import A_ASSOCIATE
from pynetdicom.presentation import build_context
from pynetdicom.transport import ThreadedAssociationServer

from dosremc_node.artifacts import ArtifactStore, clean_incoming
from dosremc_node.reception.admission import Admission
from dosremc_node.reception.connection import close_at_end, end_probe, prepare
from dosremc_node.reception.contexts import VERIFICATION, agree
from dosremc_node.reception.spooling import IMPLEMENTATION_UID, IMPLEMENTATION_VERSION, SpooledObject, SpoolingProvider
from dosremc_node.reception.storing import Storing
from dosremc_node.records import CommitmentReport, ReceivedObject
from dosremc_node.settings import ReceptionSettings
from dosremc_node.storage_commitment import Accept, answer_report

log = structlog.get_logger()

MAXIMUM_PDU = 131072
NEGOTIATION_SECONDS = 30.0
_POLL_SECONDS = 0.05
_MEGABYTE = 1 << 20


class _Listener(ThreadedAssociationServer):
    request_queue_size = 128

    def service_actions(self) -> None:
        """Nothing: what an association holds is released when it ends, not by a garbage collection of the whole process."""

    def shutdown(self) -> None:
        """Stop accepting connections; those that are open go on."""
        BaseServer.shutdown(self)
        self.server_close()


def log_unexpected_report(_: CommitmentReport) -> None:
    """A report on storage commitment where nobody asked for any."""
    log.warning("commitment_not_asked_for")


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
    ) -> None:
        self._settings = settings
        self._ae_title = ae_title
        self._store = store
        self._storing = Storing(store, accept)
        self._accept_report = accept_report
        self._admission = Admission(settings, ae_title)
        self._server: _Listener | None = None

    @property
    def port(self) -> int:
        """The port it listens on; what the settings say until it is started."""
        return int(self._server.server_address[1]) if self._server else self._settings.port

    def start(self) -> None:
        """Remove what a crash left half received, and listen; raises `OSError` where the address is taken."""
        removed = clean_incoming(self._store.incoming)
        # Until an association is admitted it is offered nothing but verification.
        contexts = [build_context(VERIFICATION)]
        address = (self._settings.host, self._settings.port)
        self._server = _Listener(self._entity(), address, self._ae_title, contexts, evt_handlers=self._handlers())
        threading.Thread(target=self._server.serve_forever, args=(_POLL_SECONDS,), name="Reception", daemon=True).start()
        log.info("reception_started", ae_title=self._ae_title, host=self._settings.host, port=self.port, leftovers_removed=removed)

    def stop(self, grace_seconds: float = 5.0) -> None:
        """Take no new associations, give those that are open some time to end, and abort the rest."""
        if self._server is None:
            return
        server, self._server = self._server, None
        server.shutdown()
        deadline = time.monotonic() + grace_seconds
        while server.active_associations and time.monotonic() < deadline:
            time.sleep(0.02)
        for association in server.active_associations:
            association.abort()
            association.join(timeout=NEGOTIATION_SECONDS)
        log.info("reception_stopped")

    def _entity(self) -> AE:
        entity = AE(self._ae_title)
        entity.maximum_pdu_size = MAXIMUM_PDU
        entity.maximum_associations = sys.maxsize  # `Admission` counts: pynetdicom would count port probes too
        entity.acse_timeout = NEGOTIATION_SECONDS
        entity.network_timeout = self._settings.idle_timeout_seconds
        entity.implementation_class_uid = IMPLEMENTATION_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION
        return entity

    def _handlers(self) -> list[EventHandlerType]:
        return [
            (evt.EVT_CONN_OPEN, close_at_end),
            (evt.EVT_CONN_OPEN, self._connected),
            (evt.EVT_REQUESTED, self._requested),
            (evt.EVT_C_STORE, self._storing.answer),
            (evt.EVT_N_EVENT_REPORT, answer_report, [self._accept_report]),
            (evt.EVT_CONN_CLOSE, _disconnected),
            (evt.EVT_CONN_CLOSE, end_probe),
        ]

    def _connected(self, event: Event) -> None:
        """A TCP connection: have its objects spooled."""
        event.assoc.dimse = SpoolingProvider(event.assoc, self._new_object)
        prepare(event.assoc, self._settings.idle_timeout_seconds)

    def _new_object(self) -> SpooledObject:
        return SpooledObject(self._store, self._settings.keep_free_megabytes * _MEGABYTE)

    def _requested(self, event: Event) -> None:
        """An association request: reject it, or agree on presentation contexts."""
        association = event.assoc
        request = cast("A_ASSOCIATE", association.requestor.primitive)
        calling, address = request.calling_ae_title, association.requestor.address or ""
        rejection = self._admission.admit(request.called_ae_title, calling, address, association)
        if rejection is None:
            association.acceptor.supported_contexts = agree(request.presentation_context_definition_list)
            return
        log.warning("association_rejected", calling_ae_title=calling, address=address, why=rejection.why)
        association.acse.send_reject(rejection.result, rejection.source, rejection.reason)
        association.kill()


def _disconnected(event: Event) -> None:
    """The connection is gone: drop what was half received."""
    if isinstance(event.assoc.dimse, SpoolingProvider):
        event.assoc.dimse.discard()
