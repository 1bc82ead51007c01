"""A proposal on the disk: the change as files, with the digest of each, so that what is promoted is what was judged.

::

    <releases folder>/.proposals/<proposal id>/
      proposal.json       what it would change of which release, what the gate said, and the digests of all other files
      operating.json      the operating points that it has instead of its parent's
      bank.safetensors    the domain's bank, where it has one
      report.html, report.json
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from dosremc_node.errors import ProposalDamaged
from dosremc_node.ledger.proposals import Proposal
from dosremc_node.recalibration.bounds import Change
from dosremc_node.recalibration.change_plan import ChangeKind
from dosremc_node.recalibration.gate import Decision
from dosremc_node.records import Domain
from dosremc_node.releases import LoadedRelease, bank_from_safetensors, bank_to_safetensors
from dosremc_node.releases.digests import sha256_of
from dosremc_node.releases.manifest import OPERATING, OPERATING_POINTS
from dosremc_node.releases.writing import write_folder

PROPOSALS = ".proposals"
CONTENT, BANK = "proposal.json", "bank.safetensors"


class _Content(BaseModel):
    """``proposal.json``. ``parent_device_uid`` says which release of that name the parent was."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    proposal_id: str
    kind: ChangeKind
    domain: str
    scanner_key: str
    window: str
    scored_with: str
    parent: str
    parent_device_uid: str
    filters_sha256: str
    decision: Decision
    files: dict[str, str]


@dataclass(frozen=True, slots=True, eq=False)
class KeptProposal:
    """A proposal as it was judged."""

    change: Change
    decision: Decision


def folder_of(releases: Path, proposal_id: str) -> Path:
    """Where a proposal lies."""
    return releases / PROPOSALS / proposal_id


def write_proposal(
    releases: Path, proposal_id: str, change: Change, decision: Decision, *, window: str, report: Mapping[str, bytes]
) -> str:
    """Write the folder as a whole, and answer the digest of its `CONTENT`. One that no row ever told of gives way."""
    files = dict(report)
    files[OPERATING] = OPERATING_POINTS.dump_json(dict(change.operating_points), indent=2)
    if change.bank is not None:
        files[BANK] = bank_to_safetensors(change.bank)
    content = _Content(
        proposal_id=proposal_id,
        kind=change.kind,
        domain=change.domain,
        scanner_key=change.scanner_key,
        window=window,
        scored_with=change.scored_with,
        parent=change.parent.release.release_id,
        parent_device_uid=change.parent.release.device_uid,
        filters_sha256=change.parent.release.filters_sha256,
        decision=decision,
        files={name: sha256_of(files[name]) for name in sorted(files)},
    )
    files[CONTENT] = content.model_dump_json(indent=2).encode()
    folder = folder_of(releases, proposal_id)
    shutil.rmtree(folder, ignore_errors=True)
    write_folder(folder.parent, proposal_id, files)
    return sha256_of(files[CONTENT])


def read_proposal(releases: Path, proposal: Proposal, parent: LoadedRelease) -> KeptProposal:
    """The change as it was judged, every digest compared. Raises `ProposalDamaged`, naming what differs, and `BankUnreadable`."""
    folder = folder_of(releases, proposal.proposal_id)
    content = _content(folder, proposal)
    files = {name: _read(folder, name, digest, proposal.proposal_id) for name, digest in content.files.items()}
    found = (content.proposal_id, content.kind, content.domain, content.scanner_key, content.window, content.parent)
    expected = (proposal.proposal_id, proposal.kind, proposal.domain, proposal.scanner_key, proposal.window, proposal.parent_release)
    if found != expected:
        raise ProposalDamaged(what=CONTENT, proposal=proposal.proposal_id)
    if (content.parent_device_uid, content.filters_sha256) != (parent.release.device_uid, parent.release.filters_sha256):
        raise ProposalDamaged(what=f"the parent {content.parent}", proposal=proposal.proposal_id)
    domain = Domain(content.domain)
    change = Change(
        kind=content.kind,
        domain=domain,
        scanner_key=content.scanner_key,
        parent=parent,
        operating_points=OPERATING_POINTS.validate_json(files[OPERATING]),
        bank=bank_from_safetensors(files[BANK], domain) if BANK in files else None,
        scored_with=Domain(content.scored_with),
    )
    return KeptProposal(change, content.decision)


def _content(folder: Path, proposal: Proposal) -> _Content:
    try:
        return _Content.model_validate_json(_read(folder, CONTENT, proposal.content_sha256, proposal.proposal_id))
    except ValidationError as error:
        raise ProposalDamaged(what=CONTENT, proposal=proposal.proposal_id) from error


def _read(folder: Path, name: str, expected: str, proposal_id: str) -> bytes:
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise ProposalDamaged(what=name, proposal=proposal_id) from error
    if sha256_of(content) != expected:
        raise ProposalDamaged(what=name, proposal=proposal_id)
    return content
