"""Writing a release: digests computed, a Device UID minted, and the folder there as a whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue
from pydicom.uid import generate_uid

from dosremc_node.errors import ReleaseExists
from dosremc_node.records import Domain, OperatingPoint, PreprocessingSpec, Release
from dosremc_node.releases.banks import Bank, bank_to_safetensors
from dosremc_node.releases.digests import check_banks_fit, filters_sha256, sha256_of
from dosremc_node.releases.manifest import BACKBONE, MANIFEST, OPERATING, OPERATING_POINTS, Manifest, bank_file


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """What people and training know of a release; digests and the Device UID are computed where it is written.

    ``operating_points`` go by ``str(ScannerKey)`` and, for scanners without one of their own, by domain.
    ``cohort``, ``metrics`` and ``provenance`` are free JSON.
    """

    release_id: str
    preprocessing: PreprocessingSpec
    operating_points: Mapping[str, OperatingPoint]
    approver: str
    demonstration: bool
    statement: str
    parent: str | None = None
    algorithm_name: str = "DoSReMC"
    manufacturer: str = "DoSReMC node"
    allows_tf32: bool = False
    half_precision_tolerance: float | None = None
    cohort: Mapping[str, JsonValue] = field(default_factory=dict)
    metrics: Mapping[str, JsonValue] = field(default_factory=dict)
    provenance: Mapping[str, JsonValue] = field(default_factory=dict)


def write_release(folder: Path, facts: ReleaseFacts, backbone: bytes, banks: Mapping[Domain, Bank]) -> Release:
    """Write the release as a new folder below ``folder`` and return its record.

    ``backbone`` is a serialised ONNX graph as the room's docstring has it, and each bank maps initializer names to
    float32 arrays. Raises `BankDoesNotFit`, and `ReleaseExists` where the id is taken. A release that is cut off while
    it is written leaves nothing under its name.
    """
    check_banks_fit(backbone, banks)
    files = {bank_file(domain): bank_to_safetensors(bank) for domain, bank in banks.items()}
    files[BACKBONE] = backbone
    files[OPERATING] = OPERATING_POINTS.dump_json(dict(facts.operating_points), indent=2)
    manifest = _manifest(facts, files, banks)
    files[MANIFEST] = manifest.model_dump_json(indent=2).encode()
    write_folder(folder, facts.release_id, files)
    return manifest.release(dict(facts.operating_points))


def _manifest(facts: ReleaseFacts, files: Mapping[str, bytes], banks: Mapping[Domain, Bank]) -> Manifest:
    bank_names = {name for bank in banks.values() for name in bank}
    return Manifest(
        release_id=facts.release_id,
        parent=facts.parent,
        created=datetime.now(UTC),
        approver=facts.approver,
        demonstration=facts.demonstration,
        statement=facts.statement,
        algorithm_name=facts.algorithm_name,
        manufacturer=facts.manufacturer,
        allows_tf32=facts.allows_tf32,
        half_precision_tolerance=facts.half_precision_tolerance,
        device_uid=str(generate_uid(prefix=None)),
        filters_sha256=filters_sha256(files[BACKBONE], bank_names),
        backbone_sha256=sha256_of(files[BACKBONE]),
        operating_sha256=sha256_of(files[OPERATING]),
        preprocessing=facts.preprocessing,
        preprocessing_sha256=facts.preprocessing.sha256,
        banks={domain: sha256_of(files[bank_file(domain)]) for domain in sorted(banks)},
        cohort=dict(facts.cohort),
        metrics=dict(facts.metrics),
        provenance=dict(facts.provenance),
    ).sealed()


def write_folder(parent: Path, name: str, files: Mapping[str, bytes]) -> None:
    """All files under ``parent/name``, by way of a hidden folder that is renamed once everything is on disk. Raises `ReleaseExists`."""
    if (parent / name).exists():
        raise ReleaseExists(release=name, folder=parent)
    parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=parent))
    try:
        for relative, content in files.items():
            _write_synced(unfinished / relative, content)
        unfinished.chmod(0o755)
        _rename(unfinished, parent / name)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _rename(unfinished: Path, finished: Path) -> None:
    try:
        unfinished.rename(finished)
    except OSError as error:
        if finished.exists():  # another process was faster
            raise ReleaseExists(release=finished.name, folder=finished.parent) from error
        raise
    _sync_folder(finished.parent)


def _write_synced(path: Path, content: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
