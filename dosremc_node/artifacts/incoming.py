"""Files on their way into the store: written piece by piece, and gone without a trace unless they are adopted.

A writer holds a lock on its file for as long as it lives, however it ends. That is how a program that starts tells
what a crash has left over from what another process is writing at this moment.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import uuid
import weakref
from pathlib import Path
from typing import BinaryIO

_BUFFER = 1 << 18
_SUFFIX = ".incoming"
_WRITE_BACK_BYTES = 1 << 22


class IncomingFile:
    """A file being written in a store's incoming folder; the digest grows with it.

    ``finish`` makes the bytes durable, and the store's ``adopt`` takes the file over. Whatever happens instead,
    ``close``, the garbage collector or the next start of the program remove it.
    """

    def __init__(self, folder: Path) -> None:
        """Create the file under a random name, readable by its owner only; raises `OSError`."""
        self.path, self._file = _create_locked(folder)
        self.size = 0
        self._on_its_way = 0
        self._digest = hashlib.sha256()
        self._drop = weakref.finalize(self, _drop, self._file, self.path)

    def write(self, content: bytes) -> int:
        """Append bytes; raises `OSError`."""
        self._digest.update(content)
        self.size += len(content)
        written = self._file.write(content)
        if self.size - self._on_its_way >= _WRITE_BACK_BYTES:
            self._write_back()
        return written

    def finish(self) -> str:
        """Sync the bytes to the disk; gives their SHA-256 digest. Raises `OSError`."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._digest.hexdigest()

    def _write_back(self) -> None:
        # Have the kernel begin to write what is there, so that less is left to wait for at the end (Linux does so on this advice).
        self._file.flush()
        os.posix_fadvise(self._file.fileno(), self._on_its_way, self.size - self._on_its_way, os.POSIX_FADV_DONTNEED)
        self._on_its_way = self.size

    def close(self) -> None:
        """Close the file, and remove it unless it has been adopted; harmless when repeated."""
        self._drop()


def clean_incoming(folder: Path) -> int:
    """Remove what writers that are dead have left in the folder; gives the number of files removed."""
    return sum(_remove_if_abandoned(path) for path in folder.glob(f"*{_SUFFIX}"))


def _create_locked(folder: Path) -> tuple[Path, BinaryIO]:
    while True:
        path = folder / f"{uuid.uuid4().hex}{_SUFFIX}"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        file = os.fdopen(descriptor, "wb", buffering=_BUFFER)
        if os.fstat(descriptor).st_nlink:
            return path, file
        file.close()  # a cleaner came between the creation and the lock


def _drop(file: BinaryIO, path: Path) -> None:
    with contextlib.suppress(OSError):  # the file system is read-only by now: the next start removes it
        path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # bytes still in the buffer do not fit on the disk: they are not wanted any more
        file.close()


def _remove_if_abandoned(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True
