"""A migrated SQLite database, and an engine on it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from tidyllm.server.stores.sql.engine import database_path, sqlite_engine
from tidyllm.server.stores.sql.migrate import migrate


@pytest.fixture
def data(tmp_path: Path) -> Path:
    migrate(tmp_path)
    return tmp_path


@pytest.fixture
def engine(data: Path) -> Iterator[Engine]:
    engine = sqlite_engine(database_path(data))
    yield engine
    engine.dispose()
