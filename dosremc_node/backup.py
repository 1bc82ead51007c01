"""What a backup holds, and how a node is made again from it.

``OUT/artifacts`` has every image, saliency map and document, once: a further backup to the same folder copies only what is new.
``OUT/<time>`` has what belongs to that moment: ledger and engine, the configuration, the releases, the anchors of the audit
trail, and a manifest of digests, written last, without which it does not count. Rows are copied before artifacts, so that
every row's bytes are there, and the engine before the ledger, which then is as after a crash: the ledger may know of steps that the
engine does not, never the other way round. Network inputs are left out: they are made again.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from sqlalchemy import make_url

from dosremc_node.artifacts import ArtifactKind, ArtifactStore, content_key, open_store
from dosremc_node.errors import ArtifactMissing, BackupDamaged, LedgerExists, LedgerMissing, NoBackup
from dosremc_node.ledger import audit, open_ledger
from dosremc_node.settings import Settings

MANIFEST = "manifest.json"
_DATABASES = {"engine.sqlite": "engine_url", "ledger.sqlite": "url"}
_KINDS = (ArtifactKind.IMAGE, ArtifactKind.SALIENCY, ArtifactKind.DOCUMENT)


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup: where it lies, when it was made, whether the databases are in it, and how many artifacts it refers to."""

    folder: Path
    made_at: datetime
    databases: tuple[str, ...]
    artifacts: int


def back_up(settings: Settings, out: Path, configuration: Path | None) -> Backup:
    """Copy everything that cannot be made again to a folder below ``out``, while the node runs on.

    A PostgreSQL database is not copied: `pg_dump` does that, before this. Raises `LedgerMissing`, `OSError`.
    """
    now = datetime.now(UTC)
    folder = out / now.strftime("%Y%m%dT%H%M%SZ")
    folder.mkdir(parents=True, mode=0o700)
    databases = [name for name, key in _DATABASES.items() if _copy_database(getattr(settings.database, key), folder / name)]
    artifacts = sum(
        _copy_artifact(open_store(settings.storage), key, out) for kind in _KINDS for key in open_store(settings.storage).keys(kind)
    )
    for name, path in _files(settings, configuration).items():
        shutil.copyfile(path, folder / name)
    if settings.releases.folder and settings.releases.folder.is_dir():
        shutil.copytree(settings.releases.folder, folder / "releases")
    digests = {str(path.relative_to(folder)): _digest(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    manifest = {"made_at": now.isoformat(), "node": settings.node.name, "version": version("dosremc-node"), "databases": databases}
    _write(folder / MANIFEST, json.dumps({**manifest, "artifacts": artifacts, "files": digests}, indent=1).encode())
    return Backup(folder, now, tuple(databases), artifacts)


def _files(settings: Settings, configuration: Path | None) -> Mapping[str, Path]:
    chosen = {
        "node.toml": configuration,
        "domains.toml": settings.studies.domains_file,
        "anchors": settings.audit.anchors_file,
        "audit.xml": settings.audit.file,
    }
    return {name: path for name, path in chosen.items() if path and path.is_file()}


def _copy_database(url: str, to: Path) -> bool:
    """By SQLite's own online backup, which stops no writer for long; answers whether it is SQLite at all."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return False
    source = Path(parsed.database or "")
    if not source.is_file():
        raise LedgerMissing(url=url)
    with closing(sqlite3.connect(source, timeout=30)) as running, closing(sqlite3.connect(to)) as copy:
        running.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
    _sync(to)
    return True


def _copy_artifact(store: ArtifactStore, key: str, out: Path) -> int:
    """Copy one artifact where it is not there yet; one that retention removes meanwhile is left out."""
    target = out / "artifacts" / key
    if target.is_file():
        return 1
    try:
        content = store.read(key)
    except ArtifactMissing:
        return 0
    _write(target, content)
    return 1


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    half = path.with_name(path.name + ".half")
    half.write_bytes(content)
    _sync(half)
    half.replace(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def backups(out: Path) -> Sequence[Backup]:
    """Every whole backup below ``out``, the newest last."""
    return [_read(path.parent) for path in sorted(out.glob(f"*/{MANIFEST}"))]


def _read(folder: Path) -> Backup:
    facts = json.loads((folder / MANIFEST).read_text())
    return Backup(folder, datetime.fromisoformat(facts["made_at"]), tuple(facts["databases"]), facts["artifacts"])


def restore(settings: Settings, out: Path, actor: str) -> Backup:
    """Make the node that the settings describe again from the newest backup below ``out``; the audit trail tells of it.

    Configuration and anchors are left to a person. Raises `NoBackup`, `BackupDamaged`, and `LedgerExists` rather than
    to write over a node that there is.
    """
    found = backups(out)
    if not found:
        raise NoBackup(where=out)
    newest = found[-1]
    _verify(newest.folder)
    targets = {name: Path(make_url(getattr(settings.database, _DATABASES[name])).database or "") for name in newest.databases}
    for path in targets.values():
        if path.exists():
            raise LedgerExists(path=path)
    for key in _artifact_keys(out):
        _put_back(open_store(settings.storage), out, key)
    if settings.releases.folder and (newest.folder / "releases").is_dir():
        shutil.copytree(newest.folder / "releases", settings.releases.folder, dirs_exist_ok=True)
    for name, path in targets.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(newest.folder / name, path)
        _sync(path)
    with closing(open_ledger(settings.database.url)) as ledger:
        audit.record(ledger, actor, audit.RESTORE, settings.node.name, {"made_at": newest.made_at.isoformat()})
    return newest


def _verify(folder: Path) -> None:
    for name, digest in json.loads((folder / MANIFEST).read_text())["files"].items():
        path = folder / name
        if not path.is_file() or _digest(path) != digest:
            raise BackupDamaged(path=path)


def _artifact_keys(out: Path) -> Iterator[str]:
    for kind in _KINDS:
        for path in sorted((out / "artifacts" / kind).glob("*/*")):
            if path.suffix != ".half":
                yield f"{kind}/{path.parent.name}/{path.name}"


def _put_back(store: ArtifactStore, out: Path, key: str) -> None:
    if store.exists(key):
        return
    kind, _, name = key.split("/")
    content = (out / "artifacts" / key).read_bytes()
    if hashlib.sha256(content).hexdigest() != name or content_key(ArtifactKind(kind), name) != key:
        raise BackupDamaged(path=out / "artifacts" / key)
    store.put(ArtifactKind(kind), content)
