"""Network inputs: made once from their images, kept by image digest and preprocessing hash, made again where they are lost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Lock
from zipfile import BadZipFile

from dosremc_node import imaging
from dosremc_node.artifacts import ArtifactKind, ArtifactStore, content_key, derived_key
from dosremc_node.errors import ArtifactMissing, NotAMammogram
from dosremc_node.imaging import ImagingWorkers
from dosremc_node.records import Laterality, NetworkInput, Release

# What numpy raises where the bytes are not those that were kept: no digest guards what can be made again at any time.
_DAMAGED = (BadZipFile, ValueError, KeyError, EOFError)


class NetworkInputs:
    """The network inputs of a process. Any thread may ask; who asks for one that is being made waits for it, so that none is made twice."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self._under_way: dict[str, Future[NetworkInput]] = {}
        self._lock = Lock()

    def get(self, release: Release, sha256: str, side: Laterality | None, workers: ImagingWorkers) -> NetworkInput:
        """The image of that digest as the release's network sees it, made by ``workers`` where it is not kept.

        Raises as `ImagingWorkers.prepare`, `NotAMammogram` without a side, and `ArtifactMissing` where the image was removed.
        """
        name = f"{sha256}-{release.preprocessing_sha256}"
        mine: Future[NetworkInput] = Future()
        with self._lock:
            under_way = self._under_way.setdefault(name, mine)
        if under_way is not mine:
            return under_way.result()
        try:
            mine.set_result(self._read_or_made(name, partial(self._made, release, sha256, side, workers)))
        except BaseException as error:  # noqa: BLE001 - handed on to all who wait
            mine.set_exception(error)
        finally:
            with self._lock:
                del self._under_way[name]
        return mine.result()

    def _read_or_made(self, name: str, make: Callable[[], NetworkInput]) -> NetworkInput:
        try:
            return imaging.decode_input(self._store.read(derived_key(ArtifactKind.INPUT, name)))
        except (ArtifactMissing, *_DAMAGED):
            made = make()
        self._store.put_derived(ArtifactKind.INPUT, name, imaging.encode_input(made))
        return made

    def _made(self, release: Release, sha256: str, side: Laterality | None, workers: ImagingWorkers) -> NetworkInput:
        if side is None:
            raise NotAMammogram(why="its side is unknown")
        with self._store.local(content_key(ArtifactKind.IMAGE, sha256)) as path:
            return workers.prepare(path, release.preprocessing, side)
