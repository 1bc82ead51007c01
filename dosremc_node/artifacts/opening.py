"""Which store the settings ask for."""

from __future__ import annotations

from dosremc_node.artifacts.folder import FolderStore
from dosremc_node.artifacts.store import ArtifactStore
from dosremc_node.settings import StorageSettings


def open_store(settings: StorageSettings) -> ArtifactStore:
    """Open the store that the settings name; its folder is made where it is missing."""
    return FolderStore(settings.folder)
