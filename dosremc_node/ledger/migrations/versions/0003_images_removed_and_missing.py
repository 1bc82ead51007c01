"""When an image was removed by retention, and since when one is missing"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in ("removed_at", "missing_since"):
        op.add_column("instance", sa.Column(column, sa.DateTime(timezone=True), nullable=True))
