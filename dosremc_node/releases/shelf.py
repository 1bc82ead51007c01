"""Finding releases and reading them, refusing what was damaged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue, ValidationError

from dosremc_node.errors import BankDoesNotFit, NoSuchRelease, ReleaseDamaged, ReleaseUnreadable
from dosremc_node.records import Domain, Release
from dosremc_node.releases.banks import bank_from_safetensors
from dosremc_node.releases.digests import check_banks_fit, filters_sha256, sha256_of
from dosremc_node.releases.manifest import BACKBONE, MANIFEST, NAME, OPERATING, OPERATING_POINTS, Manifest, bank_file
from dosremc_node.settings import ReleaseSettings


@dataclass(frozen=True, slots=True)
class LoadedRelease:
    """A release whose manifest was read and holds. Its large files are read, and checked, when they are asked for."""

    release: Release
    folder: Path
    evidence: dict[str, JsonValue]
    """The manifest's ``cohort``, ``metrics`` and ``provenance``."""

    def backbone(self) -> bytes:
        """The serialised ONNX graph; raises `ReleaseDamaged`."""
        return _read(self.folder, BACKBONE, self.release.backbone_sha256)

    def bank(self, domain: Domain) -> dict[str, NDArray[np.float32]]:
        """The bank of a domain, by initializer name; raises `ReleaseDamaged`, `BankUnreadable`, and `BankDoesNotFit` where it has none."""
        if domain not in self.release.banks:
            raise BankDoesNotFit(domain=domain, why=f"release {self.release.release_id} has banks for {', '.join(self.release.banks)}")
        content = _read(self.folder, bank_file(domain), self.release.banks[domain].sha256)
        return bank_from_safetensors(content, domain)


class ReleaseShelf:
    """The releases below some folders. Where two have the same id, the earlier folder's is taken. Safe across threads."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._loaded: dict[str, LoadedRelease] = {}
        self._lock = Lock()

    def names(self) -> tuple[str, ...]:
        """The ids of all releases, sorted."""
        manifests = (path for folder in self._folders for path in folder.glob(f"*/{MANIFEST}"))
        return tuple(sorted({path.parent.name for path in manifests if re.fullmatch(NAME, path.parent.name)}))

    def load(self, release_id: str) -> LoadedRelease:
        """The release of that id, read once; raises `NoSuchRelease`, `ReleaseUnreadable`, `ReleaseDamaged`."""
        with self._lock:
            if release_id not in self._loaded:
                self._loaded[release_id] = _load(self._folder_of(release_id))
            return self._loaded[release_id]

    def verify(self, release_id: str) -> None:
        """Read all of it anew from the disk and raise `ReleaseDamaged` or `BankDoesNotFit`, naming what differs."""
        loaded = _load(self._folder_of(release_id))
        backbone = loaded.backbone()
        banks = {domain: loaded.bank(domain) for domain in loaded.release.banks}
        check_banks_fit(backbone, banks)
        filters = filters_sha256(backbone, {name for bank in banks.values() for name in bank})
        _compare(release_id, "the filters", filters, loaded.release.filters_sha256)

    def _folder_of(self, release_id: str) -> Path:
        if re.fullmatch(NAME, release_id):
            for folder in self._folders:
                if (folder / release_id / MANIFEST).is_file():
                    return folder / release_id
        raise NoSuchRelease(release=release_id, folder=" or ".join(str(folder) for folder in self._folders))


def default_shelf(settings: ReleaseSettings) -> ReleaseShelf:
    """The releases that came with the program, and those of the settings' folder."""
    shipped = Path(__file__).parent
    return ReleaseShelf([shipped] if settings.folder is None else [shipped, settings.folder])


def _load(folder: Path) -> LoadedRelease:
    manifest = _manifest(folder)
    _compare(folder.name, MANIFEST, manifest.digest(), manifest.seal)
    _compare(folder.name, "the preprocessing", manifest.preprocessing.sha256, manifest.preprocessing_sha256)
    operating = OPERATING_POINTS.validate_json(_read(folder, OPERATING, manifest.operating_sha256))
    evidence: dict[str, JsonValue] = {"cohort": manifest.cohort, "metrics": manifest.metrics, "provenance": manifest.provenance}
    return LoadedRelease(release=manifest.release(operating), folder=folder, evidence=evidence)


def _manifest(folder: Path) -> Manifest:
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise ReleaseUnreadable(release=folder.name, what=MANIFEST, why=str(error)) from error
    if manifest.release_id != folder.name:
        raise ReleaseUnreadable(release=folder.name, what=MANIFEST, why=f"it belongs to the release {manifest.release_id}")
    return manifest


def _read(folder: Path, file: str, expected: str) -> bytes:
    try:
        content = (folder / file).read_bytes()
    except OSError as error:
        raise ReleaseUnreadable(release=folder.name, what=file, why=error.strerror or "input or output error") from error
    _compare(folder.name, file, sha256_of(content), expected)
    return content


def _compare(release: str, what: str, found: str, expected: str) -> None:
    if found != expected:
        raise ReleaseDamaged(release=release, what=what, found=found, expected=expected)
