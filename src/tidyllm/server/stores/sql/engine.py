"""Connections to the SQLite database, and the store over one whose schema is the newest."""

import sqlite3
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, String, column, create_engine, event, inspect, select, table
from sqlalchemy.pool import ConnectionPoolEntry

from tidyllm.core.errors import SettingError
from tidyllm.server.stores.sql.schema import NEWEST
from tidyllm.server.stores.sql.store import SqlStore
from tidyllm.server.stores.sql.trouble import transaction

BUSY_TIMEOUT_S = 30.0
"""How long a transaction waits for another process's; each of ours lasts milliseconds."""


def database_path(data: Path) -> Path:
    """Return where a server's database lies in its data folder."""
    return data / "tidyllm.sqlite3"


def open_store(data: Path) -> SqlStore:
    """Return the store of a data folder that `migrate` has prepared.

    Raises SettingError if there is no database, or if it has another schema version than this package; StorageError
    as `Store` does.
    """
    path = database_path(data)
    if not path.exists():
        raise SettingError(f"There is no database {path}: start `tidyllm serve` on this folder first, it makes one.")
    engine = sqlite_engine(path)
    try:
        _check_version(engine, path)
        return SqlStore(engine)
    except BaseException:
        engine.dispose()
        raise


def sqlite_engine(path: Path) -> Engine:
    """Return an engine whose transactions are durable when they return; those that write take the lock as they begin.

    A transaction writes if its engine has the execution option `writes`: one that reads first and locks later would
    lose to another that wrote in between.
    """
    url = URL.create("sqlite", database=str(path))
    # With isolation_level None the driver begins nothing by itself, and `_begin` has the only word.
    driver = {"isolation_level": None, "timeout": BUSY_TIMEOUT_S}
    # One connection, as there is one thread: SQLite's data_version counts what all but this connection committed.
    engine = create_engine(url, connect_args=driver, pool_size=1, max_overflow=0)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def schema_version(connection: Connection) -> str | None:
    """Return the number of the last migration that a database has seen; None before the first."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(select(column("version_num", String)).select_from(table("alembic_version"))).scalar()


def refuse_newer(found: str | None, *, path: Path) -> None:
    """Raise SettingError if a database is newer than this package."""
    if found is not None and found > NEWEST:
        raise SettingError(
            f"The database {path} has schema {found}, which is newer than this tidyllm knows ({NEWEST}): "
            "install the version that last ran `tidyllm serve` on this folder, or a later one."
        )


def _check_version(engine: Engine, path: Path) -> None:
    with transaction(engine) as connection:
        found = schema_version(connection)
    refuse_newer(found, path=path)
    if found != NEWEST:
        raise SettingError(
            f"The database {path} has schema {found or 'none'}, and this tidyllm needs {NEWEST}: "
            "stop its workers and start `tidyllm serve` of this version, which brings it up to date."
        )
