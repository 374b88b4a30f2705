"""The tables, with the index that each hot question needs, and the number of the newest migration.

Lists are ordered by `seq`, which the database hands out: several batches of one second still have one order.
A batch that runs has no `ended_at`; a shard that somebody works on has a `worker_id`. The partial indexes hold only
such rows, so what the loops ask costs the same with a million finished batches behind it.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    and_,
    false,
    literal_column,
)

NEWEST = "0003"
"""The migration after which a database looks as this file says."""

metadata = MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "uq": "uq_%(table_name)s_%(column_0_name)s"}
    | {"fk": "fk_%(table_name)s_%(column_0_name)s"}
)

_SEQ = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows by itself only in a column of type INTEGER."""

project = Table(
    "project",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
)

file = Table(
    "file",
    metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("project_id", String, ForeignKey("project.id"), nullable=False),
    Column("blob", String, nullable=False, unique=True),
    Column("purpose", String, nullable=False),
    Column("filename", String, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("deleted_at", BigInteger),
    Column("purged_at", BigInteger),
    sqlite_autoincrement=True,
)

batch = Table(
    "batch",
    metadata,
    Column("seq", _SEQ, primary_key=True, autoincrement=True),
    Column("id", String, nullable=False, unique=True),
    Column("project_id", String, ForeignKey("project.id"), nullable=False),
    Column("endpoint", String, nullable=False),
    Column("input_file_id", String, nullable=False),
    Column("input_blob", String),
    Column("completion_window", String, nullable=False),
    Column("status", String, nullable=False),
    Column("model", String),
    Column("metadata", Text),
    Column("problems", Text),
    Column("output_expires_after_s", BigInteger),
    Column("in_order", Boolean, nullable=False, server_default=false()),
    Column("output_file_id", String),
    Column("error_file_id", String),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("in_progress_at", BigInteger),
    Column("finalizing_at", BigInteger),
    Column("cancelling_at", BigInteger),
    Column("ended_at", BigInteger),
    Column("lapsed", Boolean, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("completed", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

worker = Table(
    "worker",
    metadata,
    Column("id", String, primary_key=True),
    Column("pid", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    Column("died_at", BigInteger),
)

shard = Table(
    "shard",
    metadata,
    Column("batch_seq", _SEQ, ForeignKey("batch.seq"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("line_first", BigInteger, nullable=False),
    Column("requests", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("state", String, nullable=False),
    Column("worker_id", String, ForeignKey("worker.id")),
    Column("epoch", BigInteger, nullable=False),
    Column("completed", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("cached_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("reasoning_tokens", BigInteger, nullable=False),
    # A batch's shards lie side by side, in order: its counts are one read of neighbours.
    sqlite_with_rowid=False,
)

upstream_state = Table(
    "upstream_state",
    metadata,
    Column("worker_id", String, ForeignKey("worker.id"), primary_key=True),
    Column("name", String, primary_key=True),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("limit_found", Float),
    Column("in_flight", Integer, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    # A few rows, of which each worker's lie side by side: they need no other index.
    sqlite_with_rowid=False,
)

file_listed = and_(file.c.deleted_at.is_(None), file.c.purged_at.is_(None))
"""Files that a list may still show; an expired one leaves it for good when its bytes go."""
file_deleted = and_(file.c.purged_at.is_(None), file.c.deleted_at.is_not(None))
file_expiring = and_(file.c.purged_at.is_(None), file.c.deleted_at.is_(None), file.c.expires_at.is_not(None))
batch_open = batch.c.ended_at.is_(None)
shard_open = shard.c.state != literal_column("'done'")
"""Written out, not bound: a planner uses a partial index only where it can read the condition."""
worker_live = worker.c.died_at.is_(None)

Index("ix_file_listing", file.c.project_id, file.c.seq, sqlite_where=file_listed, postgresql_where=file_listed)
Index(
    "ix_file_listing_purpose",
    file.c.project_id,
    file.c.purpose,
    file.c.seq,
    sqlite_where=file_listed,
    postgresql_where=file_listed,
)
Index("ix_file_deleted", file.c.deleted_at, sqlite_where=file_deleted, postgresql_where=file_deleted)
Index("ix_file_expiring", file.c.expires_at, sqlite_where=file_expiring, postgresql_where=file_expiring)
Index("ix_batch_listing", batch.c.project_id, batch.c.seq)
Index("ix_batch_open", batch.c.status, batch.c.seq, sqlite_where=batch_open, postgresql_where=batch_open)
Index("ix_batch_expiring", batch.c.status, batch.c.expires_at, sqlite_where=batch_open, postgresql_where=batch_open)
Index("ix_batch_pins", batch.c.input_blob, sqlite_where=batch_open, postgresql_where=batch_open)
Index(
    "ix_shard_open",
    shard.c.batch_seq,
    shard.c.state,
    shard.c.number,
    sqlite_where=shard_open,
    postgresql_where=shard_open,
)
_held = shard.c.worker_id.is_not(None)
Index("ix_shard_held", shard.c.worker_id, sqlite_where=_held, postgresql_where=_held)
Index("ix_worker_live", worker.c.started_at, sqlite_where=worker_live, postgresql_where=worker_live)
