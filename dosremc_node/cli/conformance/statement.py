"""The conformance statement in the order of PS3.2, filled from the tables that the program itself works by, so that it cannot drift."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import jinja2
from pydicom.charset import python_encoding
from pydicom.sr.coding import Code
from pydicom.uid import (
    UID,
    ComprehensiveSRStorage,
    EncapsulatedPDFStorage,
    GrayscaleSoftcopyPresentationStateStorage,
    KeyObjectSelectionDocumentStorage,
    MammographyCADSRStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
)

from dosremc_node.delivery import association, commitment, sop_classes, statuses
from dosremc_node.reception import admission, contexts, retrieve, server, spooling, storing
from dosremc_node.records import DEFAULT_DOCUMENTS, DocumentKind, RejectionReason
from dosremc_node.reporting import codes
from dosremc_node.settings import Destination, ListenerTls, Settings
from dosremc_node.storage_commitment import PUSH_MODEL
from dosremc_node.tls import BCP_195_CIPHERS


@dataclass(frozen=True, slots=True)
class Sent:
    """What a kind of document is in DICOM: its SOP class, its modality, its root template (none: a tree of its own), what it is of."""

    sop_class_uid: UID
    modality: str
    template: str
    of: str

    @property
    def sop_classes(self) -> str:
        """The SOP class, and those that it falls back to by default."""
        return sop_classes.names(sop_classes.candidates(self.sop_class_uid, Destination.model_fields["structured_reports"].default))


EACH_POSITIVE: Final = "each positive image"
SENT: Final[Mapping[DocumentKind, Sent]] = {
    DocumentKind.SUMMARY: Sent(ComprehensiveSRStorage, "SR", "", "every study"),
    DocumentKind.REGION: Sent(ComprehensiveSRStorage, "SR", "1500", EACH_POSITIVE),
    DocumentKind.CAD: Sent(MammographyCADSRStorage, "SR", "4000", "every study"),
    DocumentKind.CAPTURE: Sent(SecondaryCaptureImageStorage, "OT", "", EACH_POSITIVE),
    DocumentKind.PRESENTATION_STATE: Sent(GrayscaleSoftcopyPresentationStateStorage, "PR", "", EACH_POSITIVE),
    DocumentKind.PDF: Sent(EncapsulatedPDFStorage, "DOC", "", "every study"),
    DocumentKind.SALIENCY: Sent(SegmentationStorage, "SEG", "", EACH_POSITIVE),
    DocumentKind.REJECTION_NOTE: Sent(KeyObjectSelectionDocumentStorage, "KO", "2010", "each revision that supersedes another"),
}
REJECTIONS: Final = (
    admission.APPLICATION_CONTEXT_NOT_SUPPORTED,
    admission.CALLED_AE_TITLE_NOT_RECOGNISED,
    admission.CALLING_AE_TITLE_NOT_RECOGNISED,
    admission.TEMPORARY_CONGESTION,
    admission.LOCAL_LIMIT_EXCEEDED,
)
STORE_ANSWERS: Final = {
    storing.SUCCESS: "the object is synced to disk and entered in the ledger, or was so before",
    storing.OUT_OF_RESOURCES: "less free space than `reception.keep_free_megabytes`, or none",
    storing.TOO_LARGE: "the object is larger than `reception.object_megabytes`: sending it again does not help",
    storing.PROCESSING_FAILURE: "the object could not be written or entered: send it again",
    storing.CANNOT_UNDERSTAND: "the data set cannot be read: sending it again does not help",
}


def statement() -> str:
    """The whole statement as Markdown. It holds defaults only: nothing of this machine and of nobody's settings."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("dosremc_node.cli.conformance", "."),
        autoescape=False,  # noqa: S701 - Markdown of our own tables
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template("statement.md.j2").render(_tables())


def _tables() -> dict[str, Any]:
    settings = Settings()
    standard, private = _codes()
    return {
        "settings": settings,
        "destination": {name: field.default for name, field in Destination.model_fields.items()},
        "implementation": (spooling.IMPLEMENTATION_UID, spooling.IMPLEMENTATION_VERSION),
        "received": _by_name(contexts.STORAGE_CLASSES),
        "received_in": [(uid.name, uid) for uid in contexts.TRANSFER_SYNTAXES],
        "rejection_titles": [(each.value, each.withdrawn.value, each.lasts) for each in RejectionReason],
        "sent": SENT,
        "default_documents": DEFAULT_DOCUMENTS,
        "sent_in": {name: [(uid.name, uid) for uid in uids] for name, uids in association.TRANSFER_SYNTAXES.items()},
        "asked": [(uid.name, uid) for uid in (retrieve.STUDY_ROOT_FIND, retrieve.STUDY_ROOT_MOVE)],
        "verification": contexts.VERIFICATION,
        "push_model": PUSH_MODEL,
        "hold_seconds": commitment.HOLD_SECONDS,
        "pdu": (server.MAXIMUM_PDU, association.LARGEST_PDU),
        "rejections": REJECTIONS,
        "store_answers": STORE_ANSWERS,
        "store_statuses": [(_span(span), outcome, words) for span, outcome, words in statuses.MEANINGS],
        "listener_tls": ListenerTls.model_fields,
        "ciphers": BCP_195_CIPHERS,
        "character_sets": sorted(term for term in python_encoding if term),
        "standard_codes": standard,
        "private_codes": private,
        "private_scheme": codes.PRIVATE,
    }


def _by_name(uids: Iterable[UID]) -> list[tuple[str, UID]]:
    return sorted((uid.name, uid) for uid in uids)


def _span(span: range) -> str:
    return f"0x{span[0]:04X}" if len(span) == 1 else f"0x{span[0]:04X}-0x{span[-1]:04X}"


def _codes() -> tuple[list[Code], list[Code]]:
    """The coded concepts of our reports: those of others, and those of our own scheme."""
    found = {code for value in vars(codes).values() for code in (value.values() if isinstance(value, dict) else [value]) if _is_code(code)}
    ordered = sorted(found, key=lambda code: (code.scheme_designator, code.value))
    return [each for each in ordered if each.scheme_designator != codes.PRIVATE], [
        each for each in ordered if each.scheme_designator == codes.PRIVATE
    ]


def _is_code(value: object) -> bool:
    return isinstance(value, Code)
