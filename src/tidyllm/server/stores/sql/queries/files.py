"""Questions about files."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, RowMapping, insert, or_, select, update

from tidyllm.server.records import FileRecord
from tidyllm.server.stores.sql.schema import batch, batch_open, file, file_deleted, file_expiring, file_listed


def add(connection: Connection, files: Sequence[FileRecord]) -> None:
    """Insert files, in this order."""
    if files:
        rows = [{name: getattr(record, name) for name in FileRecord.__struct_fields__} for record in files]
        connection.execute(insert(file), rows)


def visible(connection: Connection, file_id: str, *, project_id: str, now: int) -> FileRecord | None:
    """Return a file that is neither deleted nor expired."""
    question = select(file).where(file.c.id == file_id, file.c.project_id == project_id, _visible(now))
    row = connection.execute(question).mappings().one_or_none()
    return None if row is None else _record(row)


def pin(connection: Connection, file_id: str, *, project_id: str, now: int) -> str | None:
    """Return the key of a visible file's bytes, which stay as long as the batch that this transaction adds runs."""
    question = select(file.c.blob).where(file.c.id == file_id, file.c.project_id == project_id, _visible(now))
    # SQLite leaves the lock out: there, whoever writes is alone.
    return connection.scalar(question.with_for_update(read=True))


def place(connection: Connection, file_id: str, *, project_id: str) -> int | None:
    """Return where a file stands in the list; one that is deleted keeps its place, so a reader may go on from it."""
    return connection.scalar(select(file.c.seq).where(file.c.id == file_id, file.c.project_id == project_id))


def page(
    connection: Connection,
    project_id: str,
    *,
    now: int,
    limit: int,
    after: int | None,
    purpose: str | None,
    newest_first: bool,
) -> list[FileRecord]:
    """Return visible files beyond the place `after`."""
    question = select(file).where(file.c.project_id == project_id, _visible(now)).limit(limit)
    question = question.order_by(file.c.seq.desc() if newest_first else file.c.seq)
    if after is not None:
        question = question.where(file.c.seq < after if newest_first else file.c.seq > after)
    if purpose is not None:
        question = question.where(file.c.purpose == purpose)
    return [_record(row) for row in connection.execute(question).mappings()]


def delete(connection: Connection, file_id: str, *, project_id: str, now: int) -> bool:
    """Hide a visible file for ever; return whether there was one."""
    mine = (file.c.id == file_id, file.c.project_id == project_id, _visible(now))
    return connection.execute(update(file).where(*mine).values(deleted_at=now)).rowcount == 1


def purgeable_blobs(connection: Connection, *, now: int, limit: int) -> list[str]:
    """Return keys of bytes that nobody may read any more and no unfinished batch reads."""
    unpinned = ~select(batch.c.input_blob).where(batch.c.input_blob == file.c.blob, batch_open).exists()
    deleted = select(file.c.blob).where(file_deleted, unpinned).limit(limit)
    expired = select(file.c.blob).where(file_expiring, file.c.expires_at <= now, unpinned)
    blobs = list(connection.scalars(deleted))
    # Two questions, not one with OR: each of them reads its own partial index.
    return blobs + list(connection.scalars(expired.limit(limit - len(blobs))))


def owned(connection: Connection, blobs: Sequence[str]) -> set[str]:
    """Return which of these keys are a file's whose bytes are not gone."""
    return set(connection.scalars(select(file.c.blob).where(file.c.blob.in_(blobs), file.c.purged_at.is_(None))))


def mark_purged(connection: Connection, blobs: Sequence[str], *, now: int) -> None:
    """Note that these bytes are gone."""
    connection.execute(update(file).where(file.c.blob.in_(blobs)).values(purged_at=now))


def _visible(now: int) -> ColumnElement[bool]:
    return file_listed & or_(file.c.expires_at.is_(None), file.c.expires_at > now)


def _record(row: RowMapping) -> FileRecord:
    return FileRecord(**{name: row[name] for name in FileRecord.__struct_fields__})
