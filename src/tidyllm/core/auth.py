"""How a request is to be signed, said without the secret."""

from collections.abc import Callable
from typing import TypeAlias

import msgspec

Key: TypeAlias = str | Callable[[], str]
"""An API key, or a function that returns a fresh one each time it is needed."""


class Hidden(str):
    """A text that is sent as it is and that no `repr` shows, as in a traceback with its variables: a key, a header."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


class Auth(msgspec.Struct, frozen=True, kw_only=True):
    """Where the key comes from and which header it goes into; never the key itself."""

    env: str
    """Name of the environment variable that holds the key."""
    env_also: tuple[str, ...] = ()
    """Names that are looked at when that one is not set."""
    header: str = "authorization"
    prefix: str = "Bearer "
    """What stands before the key in the header."""
    required: bool = True
    """Whether a missing key is an error; our own server on loopback needs none."""
