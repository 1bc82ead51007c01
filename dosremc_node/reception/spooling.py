"""Bytes go to the disk as they come: what stands between the network and a file of the artifact store.

pynetdicom gathers the fragments of a message in its DIMSE provider, in memory, or (with a switch that holds for the
whole process) in a temporary file of a folder of its own choice. `SpoolingProvider` takes that provider's place on the
associations of a receiver: a C-STORE request gets a file of the store before its first fragment arrives, so that memory
stays flat, the digest is there with the last byte, and nothing is written where there is no space.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import structlog
from pydicom.uid import UID
from pynetdicom.association import Association
from pynetdicom.dimse import DIMSEServiceProvider
from pynetdicom.dimse_messages import C_STORE_RQ, DIMSEMessage
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.dsutils import create_file_meta, encode_file_meta
from pynetdicom.pdu_primitives import P_DATA

from dosremc_node.artifacts import ArtifactStore, IncomingFile
from dosremc_node.errors import NotDicom
from dosremc_node.failures import places
from dosremc_node.reception.waiting import Work

if TYPE_CHECKING:
    from pynetdicom.dimse import _QueueItem

log = structlog.get_logger()

# The group 0002 depends on nothing but the object, so that the same object sent twice is the same bytes.
IMPLEMENTATION_UID = UID("2.25.247392601470185296031562785423091746502")
IMPLEMENTATION_VERSION = "DOSREMC_NODE"

_PREAMBLE = bytes(128) + b"DICM"
_LARGEST_IN_MEMORY = 1 << 20
_LOOK_AGAIN_BYTES = 1 << 24
_INVALID_PDU = "Evt19"  # PS3.8 Table 9-10: the association is aborted


class SpooledObject:
    """A received object on its way: a Part 10 file that grows.

    After the first failure the rest is read and dropped, so that the sender gets an answer and not an abort; ``finish``
    raises the failure then. ``name``, ``file``, ``flush`` and ``close`` are what pynetdicom expects of its temporary file.
    """

    def __init__(self, store: ArtifactStore, keep_free_bytes: int, bytes_at_most: int) -> None:
        """Open a file in the store's incoming folder; it fails, now or when it has grown, where fewer than ``keep_free_bytes`` are free.

        It also fails (`errno.EFBIG`) beyond ``bytes_at_most``.
        """
        self.began = time.monotonic()
        self._store, self._keep_free_bytes, self._bytes_at_most = store, keep_free_bytes, bytes_at_most
        self._look_again_at = _LOOK_AGAIN_BYTES
        self._failure: OSError | None = None
        self._file: IncomingFile | None = None
        try:
            self._see_that_there_is_room()
            self._file = IncomingFile(store.incoming)
        except OSError as error:
            self._failure = error

    @property
    def path(self) -> Path:
        return self._file.path if self._file else Path()

    @property
    def size(self) -> int:
        return self._file.size if self._file else 0

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def file(self) -> SpooledObject:
        return self

    def write(self, content: bytes) -> None:
        if self._file is None or self._failure:
            return
        try:
            self._file.write(content)
            self._see_that_it_may_grow(self._file.size)
        except OSError as error:
            self._failure = error
            self.close()

    def _see_that_it_may_grow(self, size: int) -> None:
        if size > self._bytes_at_most:
            raise OSError(errno.EFBIG, "the largest object that the settings allow")
        if size >= self._look_again_at:
            self._look_again_at += _LOOK_AGAIN_BYTES
            self._see_that_there_is_room()

    def _see_that_there_is_room(self) -> None:
        # Also while it grows: several large objects that began together would fill what none of them alone does.
        if self._store.free_bytes() < self._keep_free_bytes:
            raise OSError(errno.ENOSPC, "the space that is to be kept free")

    def flush(self) -> None:
        """Nothing: the bytes are synced once, by `finish`."""

    def finish(self) -> str:
        """Sync the file; gives the SHA-256 digest of its bytes. Raises `OSError` where something was not kept."""
        if self._file is None or self._failure:
            raise self._failure or OSError(errno.EIO, "no file")
        return self._file.finish()

    def close(self) -> None:
        """Remove the file, unless the store has adopted it."""
        if self._file:
            self._file.close()


def spooled_object(request: C_STORE) -> SpooledObject | None:
    """What a C-STORE request brought; None where it came without a data set."""
    spooled = request._dataset_file  # noqa: SLF001 - the only way pynetdicom hands it over
    return spooled if isinstance(spooled, SpooledObject) else None


class SpoolingProvider(DIMSEServiceProvider):
    """The DIMSE provider of one association, which spools what C-STORE requests bring."""

    def __init__(self, association: Association, new_object: Callable[[], SpooledObject], seconds_at_most: float) -> None:
        """A message whose end is not there ``seconds_at_most`` after its beginning aborts the association."""
        super().__init__(association)
        self._new_object = new_object
        self._seconds_at_most = seconds_at_most
        self._began = time.monotonic()
        self._work = Work(self.msg_queue, self.dul.to_user_queue)

    def get_msg(self, block: bool = False) -> _QueueItem:
        """The next message that is whole, after a wait for it that ends too when the association does."""
        if not block:
            self._work.wait()
        return super().get_msg(block)

    def receive_primitive(self, primitive: P_DATA) -> None:
        """Take in the fragments of a P-DATA-TF PDU; what cannot be read aborts the association."""
        try:
            for value in primitive.presentation_data_value_list:
                self._receive_fragment(value)
        except Exception as error:  # noqa: BLE001 - whatever a broken or hostile sender makes of a message
            log.warning("message_unreadable", error=type(error).__name__, where=places(error.__traceback__))
            self.discard()
            self.dul.event_queue.put(_INVALID_PDU)

    def discard(self) -> None:
        """Drop what has been received of a message whose end will not come."""
        spooled = self.message and self.message._data_set_file  # noqa: SLF001 - see `spooled_object`
        if isinstance(spooled, SpooledObject):
            spooled.close()
        self.message = None

    def _receive_fragment(self, value: tuple[int, bytes]) -> None:
        if self.message is None:
            self._began = time.monotonic()
        elif time.monotonic() - self._began > self._seconds_at_most:
            raise TimeoutError(errno.ETIMEDOUT, "a message comes too slowly")
        # One fragment at a time, because the first one of a data set may come in the same PDU as its command set.
        fragment = P_DATA()
        fragment.presentation_data_value_list.append(value)
        super().receive_primitive(fragment)
        if self.message is not None:
            self._spool(self.message)

    def _spool(self, message: DIMSEMessage) -> None:
        if isinstance(message, C_STORE_RQ):
            if message._data_set_file is None:  # noqa: SLF001 - see `spooled_object`
                message._data_set_file = self._spooled(message)  # type: ignore[assignment] # noqa: SLF001
        elif message.encoded_command_set.tell() + (message.data_set.tell() if message.data_set else 0) > _LARGEST_IN_MEMORY:
            raise NotDicom(why="a message other than C-STORE is too large")

    def _spooled(self, message: C_STORE_RQ) -> SpooledObject:
        context = next(context for context in self.assoc.accepted_contexts if context.context_id == message.context_id)
        meta = create_file_meta(
            sop_class_uid=message.command_set.AffectedSOPClassUID,
            sop_instance_uid=message.command_set.AffectedSOPInstanceUID,
            transfer_syntax=context.transfer_syntax[0],
            implementation_uid=IMPLEMENTATION_UID,
            implementation_version=IMPLEMENTATION_VERSION,
        )
        spooled = self._new_object()
        spooled.write(_PREAMBLE + encode_file_meta(meta))
        return spooled
