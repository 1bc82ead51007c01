"""What a C-STORE is answered (PS3.4 Annex B.2.3), and what must have happened before it is Success."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from pydicom.dataset import Dataset
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event

from dosremc_node.artifacts import ArtifactKind, ArtifactStore, content_key
from dosremc_node.errors import NotDicom
from dosremc_node.failures import places
from dosremc_node.reception.spooling import SpooledObject, spooled_object
from dosremc_node.records import ReceivedObject

log = structlog.get_logger()

SUCCESS = 0x0000
PROCESSING_FAILURE = 0x0110
OUT_OF_RESOURCES = 0xA700
CANNOT_UNDERSTAND = 0xC000
TOO_LARGE = 0xC001

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Storing:
    """Answers C-STORE requests: into the store, to the ledger, and only then Success."""

    def __init__(self, store: ArtifactStore, accept: Callable[[ReceivedObject], None]) -> None:
        self._store = store
        self._accept = accept

    def answer(self, event: Event) -> Dataset:
        """The response to the request. Here, and nowhere above, everything that can go wrong becomes a status."""
        spooled = spooled_object(event.request)  # type: ignore[arg-type]
        try:
            return self._kept(event, spooled)
        except NotDicom as error:
            return _refused(error, CANNOT_UNDERSTAND, "The data set cannot be read")
        except OSError as error:
            if error.errno in _NO_SPACE:
                return _refused(error, OUT_OF_RESOURCES, "Not enough free space for images")
            if error.errno == errno.EFBIG:
                return _refused(error, TOO_LARGE, "The object is larger than the node takes")
            return _refused(error, PROCESSING_FAILURE, "The object could not be written to disk")
        except Exception as error:  # noqa: BLE001 - a sender gets an answer, whatever happens here
            return _refused(error, PROCESSING_FAILURE, "The object could not be registered")
        finally:
            if spooled:
                spooled.close()

    def _kept(self, event: Event, spooled: SpooledObject | None) -> Dataset:
        if spooled is None:
            raise NotDicom(why="the request came without a data set")
        received = self._adopted(event, spooled)
        try:
            self._accept(received)
        except NotDicom:
            # The same bytes are refused whenever they come, so no row can ever speak of them.
            self._store.remove(content_key(ArtifactKind.IMAGE, received.sha256))
            raise
        log.info(
            "object_received",
            sha256=received.sha256[:12],
            size=received.size,
            calling_ae_title=received.calling_ae_title,
            milliseconds=round((time.monotonic() - spooled.began) * 1000),
        )
        return _status(SUCCESS)

    def _adopted(self, event: Event, spooled: SpooledObject) -> ReceivedObject:
        request: C_STORE = event.request  # type: ignore[assignment]
        sha256 = spooled.finish()
        self._store.adopt(ArtifactKind.IMAGE, spooled.path, sha256)
        return ReceivedObject(
            sha256=sha256,
            size=spooled.size,
            sop_class_uid=str(request.AffectedSOPClassUID),
            sop_instance_uid=str(request.AffectedSOPInstanceUID),
            transfer_syntax_uid=str(event.context.transfer_syntax),
            calling_ae_title=event.assoc.requestor.ae_title.strip(),
            peer_address=event.assoc.requestor.address or "",
            received_at=datetime.now(UTC),
        )


def _refused(error: Exception, status: int, comment: str) -> Dataset:
    # The message of an error may quote what was sent, a database's above all: the log gets its kind and its way.
    log.error("object_refused", status=f"0x{status:04X}", error=type(error).__name__, where=places(error.__traceback__))
    return _status(status, comment)


def _status(status: int, comment: str = "") -> Dataset:
    answer = Dataset()
    answer.Status = status
    if comment:
        answer.ErrorComment = comment
    return answer
