"""Bringing a data folder's database to the newest schema; the only module that imports Alembic, which is slow to."""

import fcntl
import os
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy.exc import DatabaseError

from tidyllm.core.errors import SettingError
from tidyllm.server.stores.sql.engine import database_path, refuse_newer, schema_version, sqlite_engine

_MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(data: Path) -> None:
    """Make the data folder and its database where missing, and run the migrations it has not seen, all or none.

    Processes that call this at once take turns. Raises SettingError if the database is newer than this package
    or cannot be used.
    """
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(data / "migrate.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _upgrade(database_path(data))
    finally:
        os.close(lock)


def migrations() -> Config:
    """Return Alembic's configuration; there is no alembic.ini."""
    config = Config()
    # A percent sign in the path would be read as an interpolation.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _upgrade(path: Path) -> None:
    engine = sqlite_engine(path)
    try:
        with engine.execution_options(writes=True).begin() as connection:
            refuse_newer(schema_version(connection), path=path)
            config = migrations()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except DatabaseError as error:
        raise SettingError(f"The database {path} cannot be brought up to date: {error.orig}.") from error
    finally:
        engine.dispose()
