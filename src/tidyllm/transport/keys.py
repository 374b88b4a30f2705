"""The API key for a request: given explicitly, or found in the environment at the first send."""

import os
from collections.abc import Mapping

from tidyllm.core.auth import Auth, Hidden, Key
from tidyllm.core.errors import MissingKeyError, SettingError


class Keys:
    """Where keys come from; never shows one."""

    def __init__(self, given: Key | None = None, *, environment: Mapping[str, str] = os.environ) -> None:
        self._given = given
        self._environment = environment
        self._signed: tuple[Auth, tuple[tuple[str, str], ...]] | None = None
        """What requests were last signed with, for the next that are signed in that way."""

    def __repr__(self) -> str:
        return f"Keys({'from the environment' if self._given is None else 'given'})"

    def sign(self, auth: Auth | None) -> tuple[tuple[str, str], ...]:
        """Return the headers that carry the key; none where none is needed.

        A key given as a function is asked at each send, on the event loop: it should answer from its own cache. One
        from the environment is looked for at the first send. `MissingKeyError` where a key is required and there is
        none.
        """
        if auth is None:
            return ()
        if callable(self._given):
            return self._headers(auth, self._given())
        signed = self._signed
        if signed is None or signed[0] is not auth:
            # Another thread may sign for another provider meanwhile: what is returned is what was made here.
            signed = self._signed = (auth, self._headers(auth, self._given))
        return signed[1]

    def told_apart(self, auth: Auth | None) -> object:
        """Return what tells this key from others: itself, or the function that gives a fresh one each time."""
        return self._given if callable(self._given) else self.sign(auth)

    def _headers(self, auth: Auth, given: str | None) -> tuple[tuple[str, str], ...]:
        if key := _checked(self._found(auth) if given is None else given):
            return ((auth.header, Hidden(auth.prefix + key)),)
        if not auth.required:
            return ()
        if given is not None:
            raise MissingKeyError("The API key that was given is empty.")
        raise MissingKeyError(f"No API key: set the environment variable {auth.env}, or give api_key=.")

    def _found(self, auth: Auth) -> str:
        for name in (auth.env, *auth.env_also):
            if found := self._environment.get(name, ""):
                return found
        return ""


def _checked(given: object) -> Hidden:
    """Return the key. Raises SettingError for what no header can carry, without quoting it as an HTTP library might."""
    if not isinstance(given, str):
        raise SettingError(
            f"api_key= must be a text, or a plain function that returns one; what it gave is {type(given).__name__}."
        )
    key = Hidden(given.strip())
    if not (key.isascii() and key.isprintable()):
        raise SettingError("The API key holds characters that no API key has; was something else pasted along?")
    return key
