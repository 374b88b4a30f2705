"""Questions about shards: who may work on which, and what has been done in them."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from operator import itemgetter

import msgspec
from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    and_,
    bindparam,
    exists,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)

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


def claim(
    connection: Connection, worker_id: str, *, limit: int, leaving: Collection[str], crowded: Collection[str]
) -> list[Lease]:
    """Lease queued shards to a live worker: the first of each batch in progress, the oldest first, then the second."""
    wanted: ColumnElement[bool] = batch.c.id.not_in(leaving)
    if crowded:
        wanted = and_(wanted, or_(batch.c.model.not_in(crowded), batch.c.seq.in_(_held_by(worker_id))))
    lease = (
        update(shard)
        .where(tuple_(shard.c.batch_seq, shard.c.number).in_(_next_in_line(limit, wanted)))
        # A worker that was declared dead gets nothing: nobody would put it back.
        .where(exists().where(worker.c.id == worker_id, worker_live))
        .values(state=ShardState.LEASED.value, worker_id=worker_id, epoch=shard.c.epoch + 1)
        .returning(shard.c.batch_seq, shard.c.epoch, *(shard.c[name] for name in _PLACE))
    )
    rows = sorted(connection.execute(lease).mappings(), key=lambda row: (row["batch_seq"], row["number"]))
    owners = _owners(connection, {row["batch_seq"] for row in rows})
    turns: Counter[int] = Counter()
    leases: list[tuple[int, Lease]] = []
    for row in rows:
        seq = row["batch_seq"]
        leases.append((turns[seq], _lease(row, owners[seq])))
        turns[seq] += 1
    return [lease for _, lease in sorted(leases, key=itemgetter(0))]


def _lease(row: RowMapping, owner: RowMapping) -> Lease:
    return Lease(
        batch_id=owner["id"],
        endpoint=owner["endpoint"],
        input_blob=owner["input_blob"],
        epoch=row["epoch"],
        shard=Shard(**{name: row[name] for name in _PLACE}),
        model=owner["model"],
        project_id=owner["project_id"],
        expires_at=owner["expires_at"],
        in_order=owner["in_order"],
        remaining=owner["remaining"],
    )


def _held_by(worker_id: str) -> Select[tuple[int]]:
    return select(shard.c.batch_seq).where(shard.c.worker_id == worker_id)


def _next_in_line(limit: int, wanted: ColumnElement[bool]) -> Select[tuple[int, int]]:
    """Return the question which shards of the wanted batches are next; it sorts those of `limit` of them at most,
    however many there are.
    """
    queued = shard.c.state == ShardState.QUEUED.value
    waiting = (
        select(batch.c.seq)
        .where(batch_open, batch.c.status == BatchStatus.IN_PROGRESS.value, wanted)
        .where(select(shard.c.number).where(shard.c.batch_seq == batch.c.seq, shard_open, queued).exists())
        .order_by(batch.c.seq)
        .limit(limit)
        .subquery("waiting")
    )
    turn = func.row_number().over(partition_by=shard.c.batch_seq, order_by=shard.c.number)
    ranked = (
        select(shard.c.batch_seq, shard.c.number, turn.label("turn"))
        .join(waiting, waiting.c.seq == shard.c.batch_seq)
        .where(shard_open, queued)
        .subquery("ranked")
    )
    # PostgreSQL locks no rows that are numbered in the same question, hence another around it. It looks again at a row
    # that another worker has had before it could lock it: the state is asked for a second time.
    mine = shard.alias("mine")
    return (
        select(mine.c.batch_seq, mine.c.number)
        .join(ranked, and_(mine.c.batch_seq == ranked.c.batch_seq, mine.c.number == ranked.c.number))
        .where(mine.c.state == ShardState.QUEUED.value)
        .order_by(ranked.c.turn, ranked.c.batch_seq)
        .limit(limit)
        # SQLite leaves this out: there, whoever writes is alone.
        .with_for_update(skip_locked=True, of=mine)
    )


def _owners(connection: Connection, seqs: Collection[int]) -> Mapping[int, RowMapping]:
    """Return what leases carry of their batches, by `seq`."""
    if not seqs:
        return {}
    remaining = (batch.c.total - batch.c.completed - batch.c.failed).label("remaining")
    names = ("seq", "id", "endpoint", "input_blob", "model", "project_id", "expires_at", "in_order")
    question = select(*(batch.c[name] for name in names), remaining).where(batch.c.seq.in_(seqs))
    return {row["seq"]: row for row in connection.execute(question).mappings()}


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
    _sum_up(connection, {report.batch_id for report in reports})


def _sum_up(connection: Connection, batch_ids: Collection[str]) -> None:
    """Write the sums over the shards of running batches into their rows: they are looked at more often than changed."""
    running = select(batch.c.seq).where(batch_open, batch.c.id.in_(batch_ids))
    columns = [func.sum(shard.c[name]).label(name) for name in _COUNTS]
    sums = select(shard.c.batch_seq, *columns).where(shard.c.batch_seq.in_(running)).group_by(shard.c.batch_seq)
    found = sums.subquery("sums")
    write = update(batch).where(batch.c.seq == found.c.batch_seq).values({name: found.c[name] for name in _COUNTS})
    connection.execute(write)


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
