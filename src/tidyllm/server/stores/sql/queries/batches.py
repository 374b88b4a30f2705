"""Questions about batches, and their moves: each is one statement that names the states it expects."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, RowMapping, Update, insert, or_, select, update

from tidyllm.core.batch import BatchStatus, BatchUsage, Problem, RequestCounts
from tidyllm.server.records import BatchRecord, Ending, Shard
from tidyllm.server.states import ShardState, before
from tidyllm.server.stores.sql.queries.shards import add as add_shards
from tidyllm.server.stores.sql.schema import batch, batch_open, shard, shard_open

_TOKENS = BatchUsage.__struct_fields__
_NOTHING = dict.fromkeys(("completed", "failed", *_TOKENS), 0)
# Not SELECT *: a column that is in the index spares the database the rows.
_SHARDS_LEFT = select(shard.c.number).where(shard.c.batch_seq == batch.c.seq, shard_open)
_UNREAD = Problem(code="batch_expired", message="The completion window closed before the input file had been read.")


def add(connection: Connection, record: BatchRecord) -> None:
    """Insert a batch in `validating`."""
    metadata = None if record.metadata is None else msgspec.json.encode(record.metadata).decode()
    row = {
        "id": record.id,
        "project_id": record.project_id,
        "endpoint": record.endpoint,
        "input_file_id": record.input_file_id,
        "input_blob": record.input_blob,
        "completion_window": record.completion_window,
        "status": BatchStatus.VALIDATING.value,
        "metadata": metadata,
        "output_expires_after_s": record.output_expires_after_s,
        "in_order": record.in_order,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "lapsed": False,
        "total": 0,
    }
    connection.execute(insert(batch).values({**row, **_NOTHING}))


def one(connection: Connection, batch_id: str, *, project_id: str) -> BatchRecord | None:
    """Return one batch."""
    question = select(batch).where(batch.c.id == batch_id, batch.c.project_id == project_id)
    row = connection.execute(question).mappings().one_or_none()
    return None if row is None else _record(row)


def place(connection: Connection, batch_id: str, *, project_id: str) -> int | None:
    """Return where a batch stands in the list."""
    return connection.scalar(select(batch.c.seq).where(batch.c.id == batch_id, batch.c.project_id == project_id))


def page(connection: Connection, project_id: str, *, limit: int, after: int | None) -> list[BatchRecord]:
    """Return the newest batches, those before the place `after`."""
    question = select(batch).where(batch.c.project_id == project_id).order_by(batch.c.seq.desc()).limit(limit)
    if after is not None:
        question = question.where(batch.c.seq < after)
    return [_record(row) for row in connection.execute(question).mappings()]


def unread(connection: Connection, *, limit: int) -> list[BatchRecord]:
    """Return the oldest batches in `validating`."""
    question = select(batch).where(batch_open, batch.c.status == BatchStatus.VALIDATING.value)
    rows = connection.execute(question.order_by(batch.c.seq).limit(limit)).mappings()
    return [_record(row) for row in rows]


def finishable(connection: Connection, *, stopped_before: int, limit: int) -> list[BatchRecord]:
    """Return the oldest batches whose work is over, or has been asked to stop long enough ago."""
    leased = _SHARDS_LEFT.where(shard.c.state == ShardState.LEASED.value).exists()
    # Only a batch that was cancelled or has lapsed can be in one of these states with shards leased.
    overdue = or_(batch.c.cancelling_at < stopped_before, batch.c.finalizing_at < stopped_before)
    stopping = batch.c.status.in_([BatchStatus.FINALIZING.value, BatchStatus.CANCELLING.value])
    question = select(batch).where(batch_open, stopping, or_(~leased, overdue))
    rows = connection.execute(question.order_by(batch.c.seq).limit(limit)).mappings()
    return [_record(row) for row in rows]


def ended(connection: Connection, batch_ids: Sequence[str]) -> set[str]:
    """Return which of these are batches that have ended."""
    return set(connection.scalars(select(batch.c.id).where(batch.c.id.in_(batch_ids), batch.c.ended_at.is_not(None))))


def start(connection: Connection, batch_id: str, *, model: str, shards: Sequence[Shard], now: int) -> bool:
    """Move a batch from validating to in_progress, with its shards queued."""
    total = sum(each.requests for each in shards)
    move = _move(BatchStatus.IN_PROGRESS, now).where(batch.c.id == batch_id).values(model=model, total=total)
    seq = connection.scalar(move.returning(batch.c.seq))
    if seq is not None:
        add_shards(connection, shards, batch_seq=seq)
    return seq is not None


def fail(connection: Connection, batch_id: str, *, problems: Sequence[Problem], now: int) -> bool:
    """Move a batch from validating to failed."""
    move = _move(BatchStatus.FAILED, now).where(batch.c.id == batch_id)
    return connection.execute(move.values(problems=_encoded(problems))).rowcount == 1


def cancel(connection: Connection, batch_id: str, *, project_id: str, now: int) -> bool:
    """Move a batch from validating or in_progress to cancelling."""
    move = _move(BatchStatus.CANCELLING, now).where(batch.c.id == batch_id, batch.c.project_id == project_id)
    return connection.execute(move).rowcount == 1


def lapse_unread(connection: Connection, *, now: int) -> int:
    """Fail the batches whose window closed in validating."""
    move = _move(BatchStatus.FAILED, now).where(batch_open, batch.c.expires_at <= now)
    return connection.execute(move.values(lapsed=True, problems=_encoded([_UNREAD]))).rowcount


def lapse_running(connection: Connection, *, now: int) -> int:
    """Move to finalizing, marked as lapsed, the batches whose window closed in progress."""
    move = _move(BatchStatus.FINALIZING, now).where(batch_open, batch.c.expires_at <= now)
    return connection.execute(move.values(lapsed=True)).rowcount


def finalize_done(connection: Connection, *, now: int) -> int:
    """Move to finalizing the batches in progress that have no shard left to do."""
    move = _move(BatchStatus.FINALIZING, now).where(batch_open, ~_SHARDS_LEFT.exists())
    return connection.execute(move).rowcount


def end(connection: Connection, ending: Ending, *, now: int) -> bool:
    """Move a batch to its end and freeze its counts and usage."""
    frozen = msgspec.structs.asdict(ending.counts) | msgspec.structs.asdict(ending.usage)
    files = {"output_file_id": ending.output_file_id, "error_file_id": ending.error_file_id}
    move = _move(ending.status, now).where(batch.c.id == ending.batch_id).values(frozen | files)
    return connection.execute(move).rowcount == 1


def _move(target: BatchStatus, now: int) -> Update:
    """Return the statement that moves a batch from any state that `target` may follow."""
    expected = sorted(state.value for state in before(target))
    moved_at = "ended_at" if target.ended else f"{target.value}_at"
    return update(batch).where(batch.c.status.in_(expected)).values({"status": target.value, moved_at: now})


def _encoded(problems: Sequence[Problem]) -> str:
    return msgspec.json.encode(problems).decode()


def _record(row: RowMapping) -> BatchRecord:
    status = BatchStatus(row["status"])
    metadata, problems = row["metadata"], row["problems"]
    return BatchRecord(
        id=row["id"],
        project_id=row["project_id"],
        endpoint=row["endpoint"],
        input_file_id=row["input_file_id"],
        input_blob=row["input_blob"],
        completion_window=row["completion_window"],
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        status=status,
        model=row["model"],
        metadata=None if metadata is None else msgspec.json.decode(metadata, type=dict[str, str]),
        output_expires_after_s=row["output_expires_after_s"],
        in_order=row["in_order"],
        output_file_id=row["output_file_id"],
        error_file_id=row["error_file_id"],
        in_progress_at=row["in_progress_at"],
        finalizing_at=row["finalizing_at"],
        completed_at=row["ended_at"] if status is BatchStatus.COMPLETED else None,
        failed_at=row["ended_at"] if status is BatchStatus.FAILED else None,
        expired_at=row["ended_at"] if status is BatchStatus.EXPIRED else None,
        cancelling_at=row["cancelling_at"],
        cancelled_at=row["ended_at"] if status is BatchStatus.CANCELLED else None,
        lapsed=row["lapsed"],
        problems=() if problems is None else msgspec.json.decode(problems, type=tuple[Problem, ...]),
        counts=RequestCounts(total=row["total"], completed=row["completed"], failed=row["failed"]),
        usage=BatchUsage(**{name: row[name] for name in _TOKENS}),
    )
