"""What ``release.json`` and ``operating.json`` say, and how they become a `records.Release`."""

from __future__ import annotations

from datetime import datetime
from operator import not_
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from dosremc_node.records import BankId, Domain, OperatingPoint, PreprocessingSpec, Release
from dosremc_node.releases.digests import canonical_sha256

MANIFEST = "release.json"
BACKBONE = "backbone.onnx"
OPERATING = "operating.json"

NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
"""Release ids and domains name files, so they are never a path: no separator, no leading dot."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=f"^{NAME}$")]
OPERATING_POINTS = TypeAdapter(dict[str, OperatingPoint])


class Manifest(BaseModel):
    """The manifest of a release. ``cohort``, ``metrics`` and ``provenance`` are JSON for people and later programs:
    whose images it learnt from, how it did before and after, and what made it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    release_id: Name
    parent: Name | None
    created: datetime
    approver: str
    demonstration: bool
    statement: str
    algorithm_name: str
    manufacturer: str
    device_uid: Annotated[str, Field(pattern=r"^[0-9.]{1,64}$")]
    filters_sha256: Sha256
    backbone_sha256: Sha256
    operating_sha256: Sha256
    preprocessing: PreprocessingSpec
    preprocessing_sha256: Sha256
    banks: dict[Name, Sha256]
    cohort: dict[str, JsonValue] = {}
    metrics: dict[str, JsonValue] = {}
    provenance: dict[str, JsonValue] = {}
    allows_tf32: bool = Field(default=False, exclude_if=not_)
    """Written, and sealed, only where it is set."""
    half_precision_tolerance: Annotated[float, Field(gt=0)] | None = Field(default=None, exclude_if=lambda tolerance: tolerance is None)
    """The same."""
    seal: str = ""
    """The digest of all the rest."""

    def digest(self) -> str:
        """What the seal must be."""
        return canonical_sha256(self.model_dump(mode="json", exclude={"seal"}))

    def sealed(self) -> Manifest:
        return self.model_copy(update={"seal": self.digest()})

    def release(self, operating_points: dict[str, OperatingPoint]) -> Release:
        """The record that other rooms see."""
        return Release(
            release_id=self.release_id,
            parent=self.parent,
            filters_sha256=self.filters_sha256,
            backbone_sha256=self.backbone_sha256,
            preprocessing=self.preprocessing,
            preprocessing_sha256=self.preprocessing_sha256,
            banks={Domain(domain): BankId(Domain(domain), digest) for domain, digest in self.banks.items()},
            operating_points=operating_points,
            device_uid=self.device_uid,
            created=self.created,
            approver=self.approver,
            demonstration=self.demonstration,
            statement=self.statement,
            algorithm_name=self.algorithm_name,
            manufacturer=self.manufacturer,
            allows_tf32=self.allows_tf32,
            half_precision_tolerance=self.half_precision_tolerance,
        )


def bank_file(domain: str) -> str:
    """Where the bank of a domain lies, relative to the release's folder."""
    return f"banks/{domain}.safetensors"
