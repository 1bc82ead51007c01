"""What a store of artifacts promises, and how its keys are made.

A key is ``<kind>/<first two characters of the name>/<name>``, such as ``images/ab/abcd...``: the middle part keeps
folders small. The name of a content-addressed artifact is the SHA-256 digest of its bytes, so the same bytes have the
same key, and damage shows when they are read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from dosremc_node.errors import WrongArtifactKey

_DIGEST = re.compile(r"[0-9a-f]{64}")
_DERIVED = re.compile(r"[0-9a-f]{2}[0-9a-f-]{0,198}")


class ArtifactKind(StrEnum):
    """The kinds of artifact; the value is the first part of their keys."""

    IMAGE = "images"
    """A received object, a whole Part 10 file."""
    INPUT = "inputs"
    """A network input, made again from its image where it is lost."""
    SALIENCY = "saliency"
    DOCUMENT = "documents"

    @property
    def is_content_addressed(self) -> bool:
        return self is not ArtifactKind.INPUT


def content_key(kind: ArtifactKind, sha256: str) -> str:
    """The key of content-addressed bytes; raises `WrongArtifactKey` for a derived kind or what is no digest."""
    return _checked(f"{kind}/{sha256[:2]}/{sha256}", kind.is_content_addressed)


def derived_key(kind: ArtifactKind, name: str) -> str:
    """The key of something made from others, named ``[0-9a-f-]+`` by their digests; raises `WrongArtifactKey`."""
    return _checked(f"{kind}/{name[:2]}/{name}", not kind.is_content_addressed)


def parse_key(key: str) -> tuple[ArtifactKind, str]:
    """Split a key into its kind and name; raises `WrongArtifactKey` for anything that no store could have given."""
    folder, _, rest = key.partition("/")
    shard, _, name = rest.partition("/")
    kind = next((kind for kind in ArtifactKind if kind == folder), None)
    if kind is None or shard != name[:2] or not (_DIGEST if kind.is_content_addressed else _DERIVED).fullmatch(name):
        raise WrongArtifactKey(key=key)
    return kind, name


def _checked(key: str, right_kind: bool) -> str:
    parse_key(key)
    if not right_kind:
        raise WrongArtifactKey(key=key)
    return key


class ArtifactStore(Protocol):
    """Bytes by key. What ``put``, ``put_derived`` and ``adopt`` have returned survives a power cut.

    All methods may be called from several threads and processes at once.
    """

    @property
    def incoming(self) -> Path:
        """The local folder in which an `IncomingFile` must lie to be adopted."""
        ...

    def put(self, kind: ArtifactKind, content: bytes) -> str:
        """Keep the bytes under their digest; gives the key. The same bytes twice are one artifact."""
        ...

    def put_derived(self, kind: ArtifactKind, name: str, content: bytes) -> str:
        """Keep the bytes under a name, in place of what was there; gives the key (see `derived_key`)."""
        ...

    def adopt(self, kind: ArtifactKind, path: Path, sha256: str) -> str:
        """Take a synced file out of ``incoming`` and keep it under its digest; gives the key.

        Raises `ValueError` where the path lies elsewhere.
        """
        ...

    def read(self, key: str) -> bytes:
        """The bytes; raises `ArtifactMissing`, and `ArtifactDamaged` where they do not have the digest of their key."""
        ...

    def local(self, key: str) -> AbstractContextManager[Path]:
        """A path to read the bytes from while the context lasts, digest unverified; raises `ArtifactMissing`."""
        ...

    def exists(self, key: str) -> bool: ...

    def remove(self, key: str) -> None:
        """Remove the artifact; one that is not there is no error."""
        ...

    def keys(self, kind: ArtifactKind, of: str = "") -> Iterator[str]:
        """All keys of a kind, in order; those only that were made of the image with the digest ``of``, where it is given."""
        ...

    def keep_newest(self, kind: ArtifactKind, bytes_at_most: int) -> int:
        """Remove what was put first until the rest has at most so many bytes; gives how many artifacts went.

        Raises `ValueError` for a content-addressed kind, which could not be made again.
        """
        ...

    def free_bytes(self) -> int:
        """How many bytes can still be kept."""
        ...
