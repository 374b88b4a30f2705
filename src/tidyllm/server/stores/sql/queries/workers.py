"""Questions about workers."""

from sqlalchemy import Connection, insert, select, update

from tidyllm.server.stores.sql.schema import worker, worker_live


def add(connection: Connection, worker_id: str, *, pid: int, now: int) -> None:
    """Insert a live worker."""
    connection.execute(insert(worker).values(id=worker_id, pid=pid, started_at=now))


def live(connection: Connection) -> list[str]:
    """Return the ids of workers not known to be dead, the oldest first."""
    return list(connection.scalars(select(worker.c.id).where(worker_live).order_by(worker.c.started_at)))


def bury(connection: Connection, worker_id: str, *, now: int) -> None:
    """Mark a worker dead; the moment of its first burial stays."""
    connection.execute(update(worker).where(worker.c.id == worker_id, worker_live).values(died_at=now))
