"""Which batches are to be sent in input order."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column; what is there already goes on as it was begun."""
    op.add_column("batch", sa.Column("in_order", sa.Boolean, nullable=False, server_default=sa.false()))
