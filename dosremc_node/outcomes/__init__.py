"""What pathology and follow-up say: HL7 v2, FHIR and tables to reports of breasts.

The room knows codes, laterality and formats. What it is not certain of it says, and leaves to a person. It reads messages by the room
`messages`, and enters nothing: `ledger.outcomes` does.
"""

from dosremc_node.outcomes.hl7_oru import TYPES, check
from dosremc_node.outcomes.reader import OutcomeReader, read_file
from dosremc_node.outcomes.table import TEMPLATE

__all__ = ["TEMPLATE", "TYPES", "OutcomeReader", "check", "read_file"]
