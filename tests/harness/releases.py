"""Releases that tests put in force: the shipped one with one bank changed, as a recalibration would write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dosremc_node.records import Domain, Release
from dosremc_node.releases import ReleaseFacts, default_shelf, write_release
from dosremc_node.settings import SHIPPED_RELEASE, ReleaseSettings


def release_with_another_bank(folder: Path, release_id: str, domain: Domain, shift: float) -> Release:
    """The shipped release under another name, in ``folder``: the bank of ``domain`` adds ``shift`` to every logit."""
    shipped = default_shelf(ReleaseSettings()).load(SHIPPED_RELEASE)
    parent = shipped.release
    banks = {each: shipped.bank(each) for each in parent.banks}
    banks[domain]["fc.bias"] = banks[domain]["fc.bias"] + np.float32(shift)
    facts = ReleaseFacts(
        release_id=release_id,
        preprocessing=parent.preprocessing,
        operating_points=parent.operating_points,
        approver="the test",
        demonstration=True,
        statement=parent.statement,
        parent=parent.release_id,
    )
    return write_release(folder, facts, shipped.backbone(), banks)
