"""What the store says when SQLite is full, read-only or busy: nothing was done, and it may be asked again."""

import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text
from sqlalchemy.exc import OperationalError

from tests.server.stores.samples import MINE, NOW, a_file
from tidyllm.core.errors import StorageError
from tidyllm.server.stores.sql.engine import database_path
from tidyllm.server.stores.sql.store import SqlStore


def pragma(engine: Engine, words: str) -> None:
    with engine.connect() as connection:
        connection.execute(text(f"PRAGMA {words}"))


def add_many(store: SqlStore, start: int) -> None:
    for number in range(start, start + 500):
        store.add_file(a_file(f"file-{number}" + "x" * 500))


def test_a_full_database_says_so_and_goes_on_when_there_is_space(engine: Engine) -> None:
    store = SqlStore(engine)
    pragma(engine, "max_page_count = 60")
    with pytest.raises(StorageError, match="full") as refused:
        add_many(store, 0)
    assert refused.value.full
    kept = store.list_files(MINE, now=NOW, limit=1000, after=None, purpose=None, newest_first=True)
    pragma(engine, "max_page_count = 100000")
    add_many(store, 1000)
    assert kept is not None
    assert store.file(MINE, kept[0].id, now=NOW) == kept[0]


def test_a_read_only_database_says_so(engine: Engine) -> None:
    store = SqlStore(engine)
    pragma(engine, "query_only = ON")
    with pytest.raises(StorageError, match="readonly") as refused:
        store.add_file(a_file("file-1"))
    assert refused.value.full
    assert store.list_batches(MINE, limit=1, after=None) == []


def test_a_database_that_stays_locked_is_in_trouble_and_not_full(engine: Engine, data: Path) -> None:
    store = SqlStore(engine)
    pragma(engine, "busy_timeout = 0")
    other = sqlite3.connect(database_path(data), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageError, match="locked") as refused:
        store.add_file(a_file("file-1"))
    assert not refused.value.full
    other.execute("ROLLBACK")
    other.close()
    store.add_file(a_file("file-1"))


def test_a_connection_that_cannot_be_prepared_is_trouble_too(engine: Engine) -> None:
    def fail(*_: object) -> None:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR
        raise error

    event.listen(engine, "connect", fail)
    with pytest.raises(StorageError, match="I/O"):
        SqlStore(engine).version()
    with pytest.raises(StorageError, match="I/O"):
        SqlStore(engine).live_workers()


def test_a_fault_of_ours_is_not_waited_for(engine: Engine) -> None:
    pragma(engine, "foreign_keys = OFF")
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE worker"))
    with pytest.raises(OperationalError, match="no such table"):
        SqlStore(engine).live_workers()
