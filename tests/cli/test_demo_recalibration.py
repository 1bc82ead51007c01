"""The story of a fifth vendor, told to its end on a running node."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from dosremc_node.cli.demo.recalibration.story import CHAPTERS, tell
from dosremc_node.ledger import Ledger, audit
from dosremc_node.ledger.proposals import list_proposals
from dosremc_node.ledger.releases import release_in_force
from dosremc_node.ledger.states import ProposalState
from dosremc_node.recalibration import ChangeKind


@pytest.mark.soak
@pytest.mark.timeout(2400)
def test_a_fifth_vendor_is_taken_in_gains_by_outcomes_and_its_upgrade_trips_the_guard(tmp_path: Path) -> None:
    """Statistics and fine-tuning are promoted by a named approver, the guard rolls back by itself, and the trail of all of it holds."""
    assert tell(tmp_path) == 0
    with closing(Ledger(f"sqlite:///{tmp_path}/node/ledger.sqlite")) as ledger:
        became = {each.kind: each for each in list_proposals(ledger) if each.promoted_at}
        assert became[ChangeKind.STATISTICS].state is ProposalState.PROMOTED
        assert became[ChangeKind.FINE_TUNING].state is ProposalState.ROLLED_BACK
        assert release_in_force(ledger) == became[ChangeKind.STATISTICS].release_id
        assert audit.first_broken_link(ledger) is None
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert page.count("<section>") == len(CHAPTERS)
    for picture in ("flagged.png", "roc.png"):
        assert (tmp_path / picture).stat().st_size > 10_000
