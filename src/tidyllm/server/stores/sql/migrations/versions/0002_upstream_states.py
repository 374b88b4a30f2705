"""How each worker finds each upstream, with the limit that it has found."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "upstream_state",
        sa.Column("worker_id", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("limit_found", sa.Float),
        sa.Column("in_flight", sa.Integer, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("worker_id", "name", name="pk_upstream_state"),
        sa.ForeignKeyConstraint(["worker_id"], ["worker.id"], name="fk_upstream_state_worker_id"),
        sqlite_with_rowid=False,
    )
