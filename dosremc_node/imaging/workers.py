"""Decoding and preparation outside the node's own process: a broken image costs itself, and nobody else."""

from __future__ import annotations

from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Self

from dosremc_node.imaging import decoders, preparation
from dosremc_node.imaging.encoding import decode_input, encode_input
from dosremc_node.imaging.processes import Job, JobProcess, Limits
from dosremc_node.records import Laterality, NetworkInput, PreprocessingSpec


class ImagingWorkers:
    """So many processes, each with one image at a time. Any thread may ask; it waits for a free one.

    A context manager, or `start` and `stop`.
    """

    def __init__(self, processes: int, seconds: float, megabytes: int) -> None:
        """``seconds`` and ``megabytes`` are what one image may take (see `Limits`)."""
        self._all = [JobProcess(Limits(seconds, megabytes)) for _ in range(processes)]
        self._free: SimpleQueue[JobProcess] = SimpleQueue()

    def start(self) -> None:
        """Start the processes and wait until they take work; raises `DecoderUnavailable`."""
        for process in self._all:
            process.launch()
        for process in self._all:
            process.await_ready()
            self._free.put(process)

    def stop(self) -> None:
        """End the processes; who still waits for an answer gets `NodeStopping`."""
        for process in self._all:
            process.end()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.stop()

    @property
    def idle(self) -> bool:
        """Whether one of the processes has nothing to do at this moment."""
        return not self._free.empty()

    def prepare(self, path: Path, spec: PreprocessingSpec, laterality: Laterality) -> NetworkInput:
        """The network input of the mammogram in a DICOM file, as `imaging.prepare`; raises `DecoderFailed` too, and `NodeStopping`."""
        return decode_input(self.run(_prepare, path, spec, laterality))

    def pixel_digest(self, path: Path) -> str:
        """The digest of the decoded pixels, as `imaging.pixel_digest`; raises `DecoderFailed` too, and `NodeStopping`."""
        return self.run(_pixel_digest, path).decode()

    def run(self, job: Job, *arguments: object) -> bytes:
        """The answer of any ``job`` in one of the processes (see `JobProcess.run`)."""
        process = self._free.get()
        try:
            return process.run(job, *arguments)
        finally:
            self._free.put(process)


def _prepare(path: Path, spec: PreprocessingSpec, laterality: Laterality) -> bytes:
    return encode_input(preparation.prepare(path, spec, laterality), compressed=False)


def _pixel_digest(path: Path) -> bytes:
    return decoders.pixel_digest(path).encode()
