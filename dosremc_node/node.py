"""The node assembled: its settings and the rooms' instances that a process of it needs, opened once."""

from __future__ import annotations

from dataclasses import dataclass

from dosremc_node.artifacts import ArtifactStore, open_store
from dosremc_node.ledger import Ledger, open_ledger
from dosremc_node.ledger.releases import put_in_force, release_in_force
from dosremc_node.releases import LoadedRelease, ReleaseShelf, default_shelf
from dosremc_node.settings import Settings
from dosremc_node.studies import DomainTable, load_domains


@dataclass(frozen=True)
class Node:
    """What every process of the node holds."""

    settings: Settings
    ledger: Ledger
    store: ArtifactStore
    shelf: ReleaseShelf
    domains: DomainTable

    def release_in_force(self) -> LoadedRelease:
        """The release that new revisions are pinned to: asked of the ledger each time, because it may change at any moment."""
        return self.shelf.load(release_in_force(self.ledger) or self.settings.releases.initial)


def open_node(settings: Settings) -> Node:
    """Open ledger, artifacts, releases and domains; a new ledger gets the initial release put in force.

    Raises a `NodeError` that says what is wrong, before anything listens or sends.
    """
    node = Node(
        settings=settings,
        ledger=open_ledger(settings.database.url),
        store=open_store(settings.storage),
        shelf=default_shelf(settings.releases),
        domains=load_domains(settings.studies.domains_file),
    )
    if release_in_force(node.ledger) is None:
        put_in_force(node.ledger, node.shelf.load(settings.releases.initial).release.release_id, actor="first start")
    return node
