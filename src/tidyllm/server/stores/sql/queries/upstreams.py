"""Questions about upstreams: how workers find them, and what is remembered of their limits."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import ColumnElement, Connection, delete, exists, insert, or_, select, tuple_

from tidyllm.server.records import UpstreamState
from tidyllm.server.stores.sql.schema import upstream_state, worker, worker_live

_COLUMNS = [upstream_state.c[name] for name in UpstreamState.__struct_fields__]


def note(connection: Connection, worker_id: str, *, states: Sequence[UpstreamState], now: int) -> None:
    """Put a live worker's states in place of those that it noted before."""
    if connection.scalar(select(worker.c.id).where(worker.c.id == worker_id, worker_live)) is None:
        return
    connection.execute(delete(upstream_state).where(upstream_state.c.worker_id == worker_id))
    if states:
        place = {"worker_id": worker_id, "updated_at": now}
        connection.execute(insert(upstream_state), [msgspec.structs.asdict(state) | place for state in states])


def of_live_workers(connection: Connection) -> list[UpstreamState]:
    """Return what live workers have noted, by name and then by worker."""
    question = select(*_COLUMNS).join(worker).where(worker_live)
    rows = connection.execute(question.order_by(upstream_state.c.name, upstream_state.c.worker_id)).mappings()
    return [UpstreamState(**row) for row in rows]


def newest_limit(connection: Connection, name: str) -> float | None:
    """Return the limit that was noted last for an upstream, by whomever."""
    limit = upstream_state.c.limit_found
    question = select(limit).where(upstream_state.c.name == name, limit.is_not(None))
    newest = question.order_by(upstream_state.c.updated_at.desc(), upstream_state.c.worker_id.desc())
    return connection.scalar(newest.limit(1))


def forget_dead(connection: Connection) -> None:
    """Delete what dead workers noted, but for the newest limit of each upstream."""
    state, other = upstream_state, upstream_state.alias("other")
    newer = (
        exists()
        .where(other.c.name == state.c.name, other.c.limit_found.is_not(None), _is_dead(other.c.worker_id))
        .where(tuple_(other.c.updated_at, other.c.worker_id) > tuple_(state.c.updated_at, state.c.worker_id))
    )
    forgotten = or_(state.c.limit_found.is_(None), newer)
    connection.execute(delete(state).where(_is_dead(state.c.worker_id), forgotten))


def _is_dead(worker_id: ColumnElement[str]) -> ColumnElement[bool]:
    # Asked of each row, which are few, and not of the workers, of which many have died.
    return ~exists().where(worker.c.id == worker_id, worker_live)
