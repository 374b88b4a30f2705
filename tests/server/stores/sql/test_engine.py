import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from tests.server.stores.samples import MINE
from tidyllm.core.errors import SettingError
from tidyllm.server.stores.sql.engine import database_path, open_store


def set_version(data: Path, version: str) -> None:
    with sqlite3.connect(database_path(data)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", (version,))
    connection.close()


def test_missing_database_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="start `tidyllm serve`"):
        open_store(tmp_path)
    assert not database_path(tmp_path).exists()


def test_database_that_was_never_migrated_is_refused(tmp_path: Path) -> None:
    database_path(tmp_path).touch()
    with pytest.raises(SettingError, match="has schema none"):
        open_store(tmp_path)


def test_older_database_is_refused_with_what_to_do(data: Path) -> None:
    set_version(data, "0000")
    with pytest.raises(SettingError, match="brings it up to date"):
        open_store(data)


def test_newer_database_is_refused_with_what_to_do(data: Path) -> None:
    set_version(data, "9999")
    with pytest.raises(SettingError, match="newer than this tidyllm"):
        open_store(data)


def test_store_opens_on_a_migrated_folder(data: Path) -> None:
    store = open_store(data)
    assert store.list_batches(MINE, limit=1, after=None) == []
    store.close()


@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 30_000)],
)
def test_connections_are_durable_and_patient(engine: Engine, pragma: str, value: str | int) -> None:
    with engine.begin() as connection:
        assert connection.scalar(text(f"PRAGMA {pragma}")) == value


def test_transactions_that_write_lock_as_they_begin(engine: Engine, data: Path) -> None:
    other = sqlite3.connect(database_path(data), timeout=0, isolation_level=None)
    with engine.begin():
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    with engine.execution_options(writes=True).begin(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()


def test_readers_see_one_moment(engine: Engine, data: Path) -> None:
    other = sqlite3.connect(database_path(data), isolation_level=None)
    with engine.begin() as connection:
        before = connection.scalar(text("SELECT count(*) FROM project"))
        other.execute("INSERT INTO project VALUES ('proj_other', 'Other')")
        assert connection.scalar(text("SELECT count(*) FROM project")) == before
    other.close()


def test_row_of_an_unknown_project_is_refused(engine: Engine) -> None:
    question = "INSERT INTO file (id, project_id, blob, purpose, filename, bytes, created_at) "
    with pytest.raises(Exception, match="FOREIGN KEY"), engine.execution_options(writes=True).begin() as connection:
        connection.execute(text(question + "VALUES ('f', 'proj_unknown', 'b', 'batch', 'x', 1, 1)"))
