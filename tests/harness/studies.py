"""More studies out of one, and a stream of them: the pixels are the same, who and what is examined is not."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from itertools import count
from threading import Event, Thread
from typing import Self

from pydicom import dcmread
from pydicom.uid import generate_uid

from dosremc_node.ledger.overview import list_studies
from dosremc_node.ledger.states import StudyState
from harness.node import RunningNode, send_to, wait_until

UNFINISHED_AT_MOST = 2


def copy_of_study(contents: Sequence[bytes], name: str) -> list[bytes]:
    """The images of one study as another study, of the woman ``name``: the same name, the same files."""
    return [_copy(content, name) for content in contents]


def _copy(content: bytes, name: str) -> bytes:
    dataset = dcmread(BytesIO(content))
    dataset.StudyInstanceUID = generate_uid(entropy_srcs=[name])
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID"):
        setattr(dataset, keyword, generate_uid(entropy_srcs=[name, str(dataset[keyword].value)]))
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.PatientID, dataset.PatientName, dataset.AccessionNumber = name, f"Copy^{name}", name[:16]
    buffer = BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


class Stream:
    """Sends copies of a study, one after the other, while its context lasts; every object must be answered with Success.

    It waits where the node has a few to finish, so that a study which is sent now is assessed now.
    """

    def __init__(self, node: RunningNode, contents: Sequence[bytes]) -> None:
        self._node, self._contents = node, contents
        self._end, self._thread, self.sent = Event(), Thread(target=self._run), 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _run(self) -> None:
        for number in count():
            wait_until(self._may_send, "the node finishes what it was sent")
            if self._end.is_set():
                return
            send_to(self._node, copy_of_study(self._contents, f"WOMAN{number}"))
            self.sent += 1

    def _may_send(self) -> bool:
        unfinished = self.sent - len(list_studies(self._node.ledger, [StudyState.DONE]))
        return self._end.is_set() or unfinished < UNFINISHED_AT_MOST
