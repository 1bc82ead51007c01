"""A PACS of a hundred lines, for machines without Orthanc and for tests of what a PACS may refuse.

It stores (C-STORE), answers queries (C-FIND, Study Root) and echoes (C-ECHO). It moves nothing and commits to nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Self

from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pynetdicom import AE, ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts, evt
from pynetdicom.events import EventHandlerType
from pynetdicom.transport import ThreadedAssociationServer

from dosremc_node.simulation.loopback import LOOPBACK, free_port

VERIFICATION = "1.2.840.10008.1.1"
STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
SUCCESS, PENDING, CANCELLED, IDENTIFIER_DOES_NOT_MATCH = 0x0000, 0xFF00, 0xFE00, 0xA900
UNIQUE_KEYS = {"STUDY": "StudyInstanceUID", "SERIES": "SeriesInstanceUID", "IMAGE": "SOPInstanceUID"}
NOT_KEYS = ("QueryRetrieveLevel", "SpecificCharacterSet", "RetrieveAETitle")


class StandInPacs:
    """Listens on a free loopback port as soon as it is started; keeps its files in ``folder`` under running numbers.

    ``status`` is what it answers to C-STORE: another than 0x0000 keeps nothing.
    """

    def __init__(self, folder: Path, ae_title: str = "PACS") -> None:
        self.folder, self.ae_title, self.host, self.port = folder, ae_title, LOOPBACK, 0
        self.description = "an embedded stand-in for a PACS"
        self.status = SUCCESS
        self._headers: dict[str, Dataset] = {}
        self._lock = threading.Lock()
        self._server: ThreadedAssociationServer | None = None

    def start(self) -> Self:
        """Listen; again on the same port where it listened before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        entity = AE(ae_title=self.ae_title)
        for context in AllStoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax or "", ALL_TRANSFER_SYNTAXES)
        entity.add_supported_context(STUDY_ROOT_FIND)
        entity.add_supported_context(VERIFICATION)
        handlers: list[EventHandlerType] = [(evt.EVT_C_STORE, self._store), (evt.EVT_C_FIND, self._find)]
        self.port = self.port or free_port()
        self._server = entity.start_server((self.host, self.port), block=False, evt_handlers=handlers)
        return self

    def stop(self) -> None:
        """Stop listening. What it has stays."""
        if self._server is not None:
            self._server.shutdown()
            self._server = None

    def knows(self, ae_title: str, port: int) -> None:
        """Anybody on this machine may connect: nothing to do."""

    def studies(self) -> list[str]:
        return sorted({str(header.StudyInstanceUID) for header in self._all()})

    def instances(self) -> list[str]:
        with self._lock:
            return list(self._headers)

    def fetch(self, instance: str) -> bytes:
        return (self.folder / instance).read_bytes()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _all(self) -> list[Dataset]:
        with self._lock:
            return list(self._headers.values())

    def _store(self, event: evt.Event) -> int:
        if self.status != SUCCESS:
            return self.status
        content = event.encoded_dataset()
        header = dcmread(BytesIO(content), stop_before_pixels=True)
        with self._lock:
            if all(known.SOPInstanceUID != header.SOPInstanceUID for known in self._headers.values()):
                name = f"{len(self._headers) + 1:06d}.dcm"
                (self.folder / name).write_bytes(content)
                self._headers[name] = header
        return SUCCESS

    def _find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        query = event.identifier
        level = str(query.get("QueryRetrieveLevel", ""))
        if level not in UNIQUE_KEYS:
            yield IDENTIFIER_DOES_NOT_MATCH, None
            return
        for answer in _answers(self._all(), query, level):
            if event.is_cancelled:
                yield CANCELLED, None
                return
            answer.RetrieveAETitle = self.ae_title
            yield PENDING, answer


def _answers(headers: Iterable[Dataset], query: Dataset, level: str) -> Iterator[Dataset]:
    """One answer for each study, series or instance that matches (PS3.4 C.2.2.2)."""
    seen: set[str] = set()
    for header in headers:
        unique = str(header.get(UNIQUE_KEYS[level], ""))
        if unique in seen or not all(_matches(header, element.keyword, element.value) for element in query):
            continue
        seen.add(unique)
        answer = Dataset()
        answer.SpecificCharacterSet = header.get("SpecificCharacterSet", "ISO_IR 6")
        for element in query:
            if element.VR != "SQ":
                setattr(answer, element.keyword, header.get(element.keyword))
        setattr(answer, UNIQUE_KEYS[level], unique)
        answer.QueryRetrieveLevel = level
        yield answer


def _matches(header: Dataset, keyword: str, wanted: object) -> bool:
    """Universal, single value, list of UIDs and wild card matching."""
    if keyword in NOT_KEYS or wanted in (None, "") or dictionary_VR(keyword) == "SQ":
        return True
    values = wanted if isinstance(wanted, MultiValue) else [wanted]
    return any(fnmatchcase(str(header.get(keyword, "")), str(value)) for value in values)
