"""Reports on storage commitment that a PACS brings on an association of its own (PS3.4 J.3.3), days after it was asked."""

from __future__ import annotations

from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom.presentation import PresentationContext, build_context

from dosremc_node.storage_commitment import PUSH_MODEL


def commitment_context() -> PresentationContext:
    """The peer calls and is the SCP all the same, which it says by role selection (PS3.7 D.3.3.4); one that does not say so is served too."""
    context = build_context(PUSH_MODEL, [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
    context.scu_role, context.scp_role = False, True
    return context
