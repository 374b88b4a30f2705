"""Questions about shards: who may work on which, and what has been done in them."""

from collections.abc import Collection, Sequence

import msgspec
from sqlalchemy import Connection, bindparam, exists, insert, select, tuple_, update

from tidyllm.core.batch import BatchStatus, BatchUsage
from tidyllm.server.records import Lease, Shard, ShardReport
from tidyllm.server.states import ShardState
from tidyllm.server.stores.sql.schema import batch, batch_open, shard, shard_open, worker, worker_live

_PLACE = Shard.__struct_fields__
_COUNTS = ("completed", "failed", *BatchUsage.__struct_fields__)


def add(connection: Connection, shards: Sequence[Shard], *, batch_seq: int) -> None:
    """Insert the shards of a batch, queued and with nothing done."""
    if shards:
        fresh = {"batch_seq": batch_seq, "state": ShardState.QUEUED.value, "epoch": 0, **dict.fromkeys(_COUNTS, 0)}
        connection.execute(insert(shard), [fresh | msgspec.structs.asdict(each) for each in shards])


def of_batch(connection: Connection, batch_id: str) -> list[Shard]:
    """Return a batch's shards in input order."""
    columns = [shard.c[name] for name in _PLACE]
    question = select(*columns).join(batch).where(batch.c.id == batch_id).order_by(shard.c.number)
    return [Shard(**row) for row in connection.execute(question).mappings()]


def claim(connection: Connection, worker_id: str, *, limit: int, leaving: Collection[str]) -> list[Lease]:
    """Lease queued shards to a live worker: oldest batch in progress first, in input order."""
    next_in_line = (
        select(batch.c.seq, shard.c.number)
        .join(shard, shard.c.batch_seq == batch.c.seq)
        .where(batch_open, batch.c.status == BatchStatus.IN_PROGRESS.value)
        .where(shard_open, shard.c.state == ShardState.QUEUED.value, batch.c.id.not_in(leaving))
        .order_by(batch.c.seq, shard.c.number)
        .limit(limit)
        # SQLite leaves this out: there, whoever writes is alone.
        .with_for_update(skip_locked=True, of=shard)
    )
    lease = (
        update(shard)
        .where(tuple_(shard.c.batch_seq, shard.c.number).in_(next_in_line))
        # A worker that was declared dead gets nothing: nobody would put it back.
        .where(exists().where(worker.c.id == worker_id, worker_live))
        .values(state=ShardState.LEASED.value, worker_id=worker_id, epoch=shard.c.epoch + 1)
        .returning(shard.c.batch_seq, shard.c.epoch, *(shard.c[name] for name in _PLACE))
    )
    rows = sorted(connection.execute(lease).mappings(), key=lambda row: (row["batch_seq"], row["number"]))
    seqs = sorted({row["batch_seq"] for row in rows})
    owners = select(batch.c.seq, batch.c.id, batch.c.endpoint, batch.c.input_blob).where(batch.c.seq.in_(seqs))
    by_seq = {row.seq: row for row in connection.execute(owners)} if seqs else {}
    return [
        Lease(
            batch_id=by_seq[row["batch_seq"]].id,
            endpoint=by_seq[row["batch_seq"]].endpoint,
            input_blob=by_seq[row["batch_seq"]].input_blob,
            epoch=row["epoch"],
            shard=Shard(**{name: row[name] for name in _PLACE}),
        )
        for row in rows
    ]


def settle(connection: Connection, worker_id: str, *, reports: Sequence[ShardReport], unless_done: ShardState) -> None:
    """Store what was done in shards that the worker holds; one that is not done becomes, or stays, `unless_done`."""
    if not reports:
        return
    owner = select(batch.c.seq).where(batch.c.id == bindparam("of_batch")).scalar_subquery()
    statement = (
        update(shard)
        .where(shard.c.batch_seq == owner, shard.c.number == bindparam("of_number"))
        .where(shard.c.worker_id == worker_id, shard.c.epoch == bindparam("of_epoch"))
        .values({name: bindparam(f"new_{name}") for name in ("state", "worker_id", *_COUNTS)})
    )
    connection.execute(statement, [_settled(report, worker_id, unless_done=unless_done) for report in reports])


def _settled(report: ShardReport, worker_id: str, *, unless_done: ShardState) -> dict[str, str | int | None]:
    state = ShardState.DONE if report.done else unless_done
    counts = {"completed": report.completed, "failed": report.failed, **msgspec.structs.asdict(report.usage)}
    return {
        "of_batch": report.batch_id,
        "of_number": report.number,
        "of_epoch": report.epoch,
        "new_state": state.value,
        "new_worker_id": worker_id if state is ShardState.LEASED else None,
        **{f"new_{name}": counts[name] for name in _COUNTS},
    }


def requeue(connection: Connection, worker_id: str) -> int:
    """Put all that a worker holds back to queued, with the counts as last reported; return how many."""
    held = update(shard).where(shard.c.worker_id == worker_id)
    return connection.execute(held.values(state=ShardState.QUEUED.value, worker_id=None)).rowcount


def stopping(connection: Connection, worker_id: str) -> set[str]:
    """Return the ids of batches no longer in progress of which a worker holds shards."""
    question = select(batch.c.id).join(shard).where(shard.c.worker_id == worker_id)
    return set(connection.scalars(question.where(batch.c.status != BatchStatus.IN_PROGRESS.value)))
