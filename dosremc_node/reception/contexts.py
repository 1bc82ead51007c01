"""Which kinds of object the node takes, in which encodings, and which encoding it agrees to.

Nothing is decoded on the way in, so every storage SOP class and every transfer syntax that carries its own pixels is
welcome: what a scanner sends is kept as it was sent. Whether it can be assessed is decided later, by others.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.uid import UID
from pynetdicom import ALL_TRANSFER_SYNTAXES, AllStoragePresentationContexts
from pynetdicom.presentation import PresentationContext, build_context

from dosremc_node.reception.commitment import commitment_context

VERIFICATION = UID("1.2.840.10008.1.1")

STORAGE_CLASSES = frozenset(UID(context.abstract_syntax or "") for context in AllStoragePresentationContexts)
"""Every storage SOP class of PS3.4 Table B.5-1 and the retired ones that pynetdicom knows: mammography, tomosynthesis and
breast projection among them, and the reports, presentation states and key objects that routers send along."""

# JPIP syntaxes hold a reference to pixels elsewhere, SMPTE ones are live streams: there would be nothing to keep.
_WITHOUT_PIXELS = ("JPIP", "SMPTE")
TRANSFER_SYNTAXES = tuple(uid for uid in map(UID, ALL_TRANSFER_SYNTAXES) if not uid.name.startswith(_WITHOUT_PIXELS))


def agree(requested: Iterable[PresentationContext]) -> list[PresentationContext]:
    """The contexts to support for one association (PS3.8 9.3.3), one for each known abstract syntax that it asks for.

    Where a requested context offers several transfer syntaxes, the first that we take is settled on: the sender names
    first what its object is in. For that the requested contexts are narrowed to it.
    """
    asked = {context.abstract_syntax for context in requested if _narrow(context)}
    supported = [build_context(uid, [*TRANSFER_SYNTAXES]) for uid in STORAGE_CLASSES & asked]
    return [*supported, commitment_context(), build_context(VERIFICATION)]


def _narrow(context: PresentationContext) -> bool:
    first = next((uid for uid in context.transfer_syntax if uid in TRANSFER_SYNTAXES), None)
    if first is not None:
        context.transfer_syntax = [first]
    return first is not None
