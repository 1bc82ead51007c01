"""Delivery: documents to the systems that want them, and what each of them answered.

`send` speaks C-STORE, or STOW-RS, and reads every status; `ask_commitment` has a PACS take responsibility for what it stored; `echo` and `found_on` ask a PACS whether it is there and what it has.
"""

from dosremc_node.delivery.asking import echo, found_on
from dosremc_node.delivery.commitment import ask_commitment, commitment_results, new_transaction_uid
from dosremc_node.delivery.rules import Rendition, Sendable, backoff, refuse_clinical_use
from dosremc_node.delivery.sending import send
from dosremc_node.libraries import settle_dicom_libraries

settle_dicom_libraries()

__all__ = [
    "Rendition",
    "Sendable",
    "ask_commitment",
    "backoff",
    "commitment_results",
    "echo",
    "found_on",
    "new_transaction_uid",
    "refuse_clinical_use",
    "send",
]
