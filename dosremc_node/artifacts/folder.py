"""A store in a folder of a local file system."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from dosremc_node.artifacts.incoming import IncomingFile
from dosremc_node.artifacts.store import ArtifactKind, content_key, derived_key, parse_key
from dosremc_node.errors import ArtifactDamaged, ArtifactMissing


class FolderStore:
    """Artifacts as files below one folder, which must be one file system: bytes are renamed into place, never copied."""

    def __init__(self, folder: Path) -> None:
        """Open the store, and make its folder where it is missing; only its owner may look inside."""
        self._folder = folder.absolute()
        self._durable: set[Path] = set()
        self.incoming = self._folder / "incoming"
        _make_folder(self.incoming)

    def put(self, kind: ArtifactKind, content: bytes) -> str:
        return self._write(content_key(kind, hashlib.sha256(content).hexdigest()), content)

    def put_derived(self, kind: ArtifactKind, name: str, content: bytes) -> str:
        return self._write(derived_key(kind, name), content)

    def adopt(self, kind: ArtifactKind, path: Path, sha256: str) -> str:
        if path.parent != self.incoming:
            raise ValueError(f"only a file of {self.incoming} can be adopted")
        key = content_key(kind, sha256)
        self._move_in(path, key)
        return key

    def read(self, key: str) -> bytes:
        kind, name = parse_key(key)
        try:
            content = self._path(key).read_bytes()
        except FileNotFoundError:
            raise ArtifactMissing(key=key) from None
        if kind.is_content_addressed and (found := hashlib.sha256(content).hexdigest()) != name:
            raise ArtifactDamaged(key=key, found=found)
        return content

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        path = self._path(key)
        if not path.is_file():
            raise ArtifactMissing(key=key)
        yield path

    def exists(self, key: str) -> bool:
        return self._path(key).is_file()

    def remove(self, key: str) -> None:
        path = self._path(key)
        if path.exists():
            path.unlink(missing_ok=True)
            _sync_folder(path.parent)

    def keys(self, kind: ArtifactKind, of: str = "") -> Iterator[str]:
        # The folders in order, and each when its turn comes: there may be millions.
        for folder in sorted((self._folder / kind).glob(of[:2] or "*")):
            yield from self._keys_in(folder, of)

    def _keys_in(self, folder: Path, of: str) -> Iterator[str]:
        for path in sorted(folder.glob(f"{of}*")):
            yield str(path.relative_to(self._folder))

    def keep_newest(self, kind: ArtifactKind, bytes_at_most: int) -> int:
        if kind.is_content_addressed:
            raise ValueError(f"{kind} cannot be made again")
        removed, kept_bytes = 0, 0
        for _, size, path in sorted(_ages((self._folder / kind).glob("*/*")), reverse=True):
            kept_bytes += size
            if kept_bytes > bytes_at_most:
                path.unlink(missing_ok=True)
                removed += 1
        return removed

    def free_bytes(self) -> int:
        return shutil.disk_usage(self._folder).free

    def _path(self, key: str) -> Path:
        parse_key(key)
        return self._folder / key

    def _write(self, key: str, content: bytes) -> str:
        file = IncomingFile(self.incoming)
        try:
            file.write(content)
            file.finish()
            self._move_in(file.path, key)
        finally:
            file.close()
        return key

    def _move_in(self, path: Path, key: str) -> None:
        # What is already there under the key is replaced, not trusted: if it was damaged, it is whole again.
        target = self._folder / key
        self._make_durable(target.parent)
        path.replace(target)
        _sync_folder(target.parent)

    def _make_durable(self, shard: Path) -> None:
        """Make the folder, and see that it survives a power cut even where another process has made it just now."""
        if shard in self._durable:
            return
        _make_folder(shard)
        _sync_folder(shard.parent)
        _sync_folder(self._folder)
        self._durable.add(shard)


def _ages(paths: Iterable[Path]) -> Iterator[tuple[int, int, Path]]:
    """When each file was written, its size, and the file."""
    for path in paths:
        with suppress(FileNotFoundError):  # another process may remove some at the same time
            status = path.stat()
            yield status.st_mtime_ns, status.st_size, path


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
