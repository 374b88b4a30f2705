"""Every implementation of `Store`, each on databases of its own: a new one joins by a line in `IMPLEMENTATIONS`."""

import shutil
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.server.stores.samples import NOW, Connect, NewDatabase
from tidyllm.server.store import Store
from tidyllm.server.stores.sql.engine import database_path
from tidyllm.server.stores.sql.engine import open_store as open_sqlite
from tidyllm.server.stores.sql.migrate import migrate


def sqlite_databases(folder: Path) -> NewDatabase:
    """Return what copies a migrated database: quicker than to migrate each."""
    template = folder / "template"
    migrate(template)
    numbers = count()

    def new() -> Connect:
        data = folder / str(next(numbers))
        data.mkdir()
        shutil.copy(database_path(template), database_path(data))
        return lambda: open_sqlite(data)

    return new


IMPLEMENTATIONS = {"sqlite": sqlite_databases}


@pytest.fixture(scope="session", params=IMPLEMENTATIONS)
def new_database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NewDatabase:
    return IMPLEMENTATIONS[request.param](tmp_path_factory.mktemp(request.param))


@pytest.fixture
def connect(new_database: NewDatabase) -> Iterator[Connect]:
    """Opens connections to one empty database."""
    opened: list[Store] = []
    open_one = new_database()

    def open_and_note() -> Store:
        opened.append(open_one())
        return opened[-1]

    yield open_and_note
    for store in opened:
        store.close()


@pytest.fixture
def store(connect: Connect) -> Store:
    """A store with one live worker, `w1`."""
    store = connect()
    store.add_worker("w1", pid=101, now=NOW)
    return store
