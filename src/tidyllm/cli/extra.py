"""Saying what to install where a command needs libraries that are not there."""

import contextlib
from collections.abc import Iterator

from tidyllm.core.errors import SettingError


@contextlib.contextmanager
def needing_server_libraries() -> Iterator[None]:
    """Import the server within: raises SettingError with what to install where a library of others is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == "tidyllm":
            raise
        raise SettingError(f'The server needs {error.name}: pip install "tidyllm[server]".') from error
