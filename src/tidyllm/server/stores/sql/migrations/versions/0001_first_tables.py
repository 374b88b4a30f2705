"""The first tables: projects, files, batches, shards and workers, and the default project."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables and the default project."""
    project = op.create_table(
        "project",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_project"),
    )
    op.bulk_insert(project, [{"id": "proj_default", "name": "Default project"}])
    _create_file()
    _create_batch()
    _create_worker()
    _create_shard()


def _create_file() -> None:
    op.create_table(
        "file",
        sa.Column("seq", _SEQ, nullable=False, autoincrement=True),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("project_id", sa.String, nullable=False),
        sa.Column("blob", sa.String, nullable=False),
        sa.Column("purpose", sa.String, nullable=False),
        sa.Column("filename", sa.String, nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("deleted_at", sa.BigInteger),
        sa.Column("purged_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("seq", name="pk_file"),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_file_project_id"),
        sa.UniqueConstraint("blob", name="uq_file_blob"),
        sa.UniqueConstraint("id", name="uq_file_id"),
        sqlite_autoincrement=True,
    )
    _create_partial(
        "ix_file_listing", "file", columns=["project_id", "seq"], where="deleted_at IS NULL AND purged_at IS NULL"
    )
    _create_partial(
        "ix_file_listing_purpose",
        "file",
        columns=["project_id", "purpose", "seq"],
        where="deleted_at IS NULL AND purged_at IS NULL",
    )
    _create_partial(
        "ix_file_deleted", "file", columns=["deleted_at"], where="purged_at IS NULL AND deleted_at IS NOT NULL"
    )
    _create_partial(
        "ix_file_expiring",
        "file",
        columns=["expires_at"],
        where="purged_at IS NULL AND deleted_at IS NULL AND expires_at IS NOT NULL",
    )


def _create_batch() -> None:
    op.create_table(
        "batch",
        sa.Column("seq", _SEQ, nullable=False, autoincrement=True),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("project_id", sa.String, nullable=False),
        sa.Column("endpoint", sa.String, nullable=False),
        sa.Column("input_file_id", sa.String, nullable=False),
        sa.Column("input_blob", sa.String),
        sa.Column("completion_window", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("model", sa.String),
        sa.Column("metadata", sa.Text),
        sa.Column("problems", sa.Text),
        sa.Column("output_expires_after_s", sa.BigInteger),
        sa.Column("output_file_id", sa.String),
        sa.Column("error_file_id", sa.String),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("in_progress_at", sa.BigInteger),
        sa.Column("finalizing_at", sa.BigInteger),
        sa.Column("cancelling_at", sa.BigInteger),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("lapsed", sa.Boolean, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        *_counts(),
        sa.PrimaryKeyConstraint("seq", name="pk_batch"),
        sa.ForeignKeyConstraint(["project_id"], ["project.id"], name="fk_batch_project_id"),
        sa.UniqueConstraint("id", name="uq_batch_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_batch_listing", "batch", ["project_id", "seq"])
    _create_partial("ix_batch_open", "batch", columns=["status", "seq"], where="ended_at IS NULL")
    _create_partial("ix_batch_expiring", "batch", columns=["status", "expires_at"], where="ended_at IS NULL")
    _create_partial("ix_batch_pins", "batch", columns=["input_blob"], where="ended_at IS NULL")


def _create_worker() -> None:
    op.create_table(
        "worker",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("started_at", sa.BigInteger, nullable=False),
        sa.Column("died_at", sa.BigInteger),
        sa.PrimaryKeyConstraint("id", name="pk_worker"),
    )
    _create_partial("ix_worker_live", "worker", columns=["started_at"], where="died_at IS NULL")


def _create_shard() -> None:
    op.create_table(
        "shard",
        sa.Column("batch_seq", _SEQ, nullable=False),
        sa.Column("number", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("line_first", sa.BigInteger, nullable=False),
        sa.Column("requests", sa.BigInteger, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("length", sa.BigInteger, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("worker_id", sa.String),
        sa.Column("epoch", sa.BigInteger, nullable=False),
        *_counts(),
        sa.PrimaryKeyConstraint("batch_seq", "number", name="pk_shard"),
        sa.ForeignKeyConstraint(["batch_seq"], ["batch.seq"], name="fk_shard_batch_seq"),
        sa.ForeignKeyConstraint(["worker_id"], ["worker.id"], name="fk_shard_worker_id"),
        sqlite_with_rowid=False,
    )
    _create_partial("ix_shard_open", "shard", columns=["batch_seq", "state", "number"], where="state != 'done'")
    _create_partial("ix_shard_held", "shard", columns=["worker_id"], where="worker_id IS NOT NULL")


def _counts() -> list[sa.Column[int]]:
    names = ("completed", "failed", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in names]


def _create_partial(name: str, table: str, *, columns: list[str], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
