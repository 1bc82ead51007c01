"""Files by key, never by path: images as received, network inputs, saliency maps, rendered documents.

The room knows how bytes become durable and how they are named: by their SHA-256 digest, or, for what can be made again
at any time, by the digests of what it was made from. It gives a store (`open_store`) and, for bytes that arrive piece
by piece, a file in the store's own incoming folder (`IncomingFile`) that the store can adopt without a copy.
"""

from dosremc_node.artifacts.incoming import IncomingFile, clean_incoming
from dosremc_node.artifacts.opening import open_store
from dosremc_node.artifacts.store import ArtifactKind, ArtifactStore, content_key, derived_key, parse_key

__all__ = [
    "ArtifactKind",
    "ArtifactStore",
    "IncomingFile",
    "clean_incoming",
    "content_key",
    "derived_key",
    "open_store",
    "parse_key",
]
