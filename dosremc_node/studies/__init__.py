"""Studies knows what is complete, which images are screening views, and which domain a scanner belongs to.

It gives the header of an image, when a study is due, and the plan that its revision pins: images, domain, bank, operating point.
"""

from __future__ import annotations

from dosremc_node.libraries import settle_dicom_libraries
from dosremc_node.studies.domains import DomainRule, DomainTable, load_domains
from dosremc_node.studies.eligibility import is_image
from dosremc_node.studies.headers import read_header
from dosremc_node.studies.plans import due_at, make_plan, views_complete
from dosremc_node.studies.rejection_notes import is_key_object, read_rejection_note

settle_dicom_libraries()

__all__ = [
    "DomainRule",
    "DomainTable",
    "due_at",
    "is_image",
    "is_key_object",
    "load_domains",
    "make_plan",
    "read_header",
    "read_rejection_note",
    "views_complete",
]
