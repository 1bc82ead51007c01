"""The ledger: SQLAlchemy tables and Alembic migrations, and the state machines of a revision and of a delivery.

It is the one place that reads and writes rows, and it hands out records. Its files answer: which tables (`tables`, `hospital_tables`),
what may follow what (`states`), what happens when an object arrives (`receiving`), where two patients are mixed up (`conflicts`,
`conflict_decisions`), how a revision is opened, taken in
hand and finished (`revisions`), what is on its way where (`deliveries`), what is to be committed to (`commitments`), which release is in force (`releases`), what
was measured of the images (`moments`), what a clock that was set back leaves (`clock`), who did what (`audit`), and what a person wants to see (`overview`).
"""

from dosremc_node.ledger import drift_tables as drift_tables  # so that the metadata is whole whoever asks for it
from dosremc_node.ledger import hospital_tables as hospital_tables
from dosremc_node.ledger import outcome_tables as outcome_tables
from dosremc_node.ledger import proposal_tables as proposal_tables
from dosremc_node.ledger.database import Ledger, open_ledger

__all__ = ["Ledger", "open_ledger"]
