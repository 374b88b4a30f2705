"""What a base URL must look like before anything is sent to it."""

from urllib.parse import urlsplit

from tidyllm.core.errors import SettingError


def checked_base_url(url: str, *, called: str = "The base URL") -> str:
    """Return a base URL without a slash at its end. Raises SettingError for one that cannot be, or holds a password."""
    shown = "what was given" if _MAYBE_SECRET.intersection(url) else repr(url)
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - read to have it checked
    except ValueError:
        # The reason quotes a part of it.
        raise SettingError(f"{called} cannot be {shown}: it is no URL.") from None
    if parts.username is not None or parts.password is not None:
        raise SettingError(f"{called} must not hold a user or a password: it is shown and saved.")
    if parts.query:
        raise SettingError(f"{called} must not hold a query: it is shown and saved.")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise SettingError(f"{called} must be like http://127.0.0.1:8000/v1, and not {shown}.")
    return url.rstrip("/")


_MAYBE_SECRET = frozenset("@?#")
"""Signs of a password, a query or a fragment: what has one is not shown."""
_REACHED_AT = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - nothing listens here


def host_url(address: str, *, port: int | None) -> str:
    """Return the URL that an address means: one without `http://` has the port that is usual, unless it names one.

    `0.0.0.0` and `[::]` are where a server listens, which clients reach at the loopback address; spec/ollama 1.
    """
    if port is None:
        return address.rstrip("/")
    scheme, _, rest = address.rpartition("://")
    place, _, path = rest.partition("/")
    if place.count(":") > 1 and not place.startswith("["):
        place = f"[{place}]"
    name, colon, number = (place, "", "") if place.endswith("]") else place.partition(":")
    if place.startswith("[") and not place.endswith("]"):
        name, colon, number = place.rpartition(":")
    usual = "" if scheme else f":{port}"
    host = _REACHED_AT.get(name, name) + (f":{number}" if colon else usual)
    return f"{scheme or 'http'}://{host}{'/' + path if path else ''}".rstrip("/")
