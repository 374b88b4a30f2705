"""Transactions whose failures are told in the words of `core.errors`: what waiting or space would cure."""

import contextlib
import sqlite3
from collections.abc import Iterator

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import OperationalError

from tidyllm.core.errors import StorageError

_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY})
_PASSING = _FULL | {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
}
"""What waiting may cure; all else is a fault of ours."""
_PRIMARY = 0xFF
"""SQLite's extended codes have the primary one in their lowest byte; https://www.sqlite.org/rescode.html."""


@contextlib.contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """Ask within one transaction: all of it is done, or none; raises StorageError where the database is in trouble."""
    with told(), engine.begin() as connection:
        yield connection


@contextlib.contextmanager
def told() -> Iterator[None]:
    """Raise StorageError in place of what the driver says of a full disk, a failing one, or a lock held too long."""
    try:
        yield
    except (OperationalError, sqlite3.OperationalError) as error:
        cause = error.orig if isinstance(error, OperationalError) else error
        code = getattr(cause, "sqlite_errorcode", 0) & _PRIMARY
        if code not in _PASSING:
            raise
        raise StorageError(f"The database cannot be used: {cause}.", full=code in _FULL) from error
