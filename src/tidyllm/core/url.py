"""What a base URL must look like before anything is sent to it."""

from urllib.parse import urlsplit

from tidyllm.core.errors import SettingError


def checked_base_url(url: str, *, called: str = "The base URL") -> str:
    """Return a base URL without a slash at its end. Raises SettingError for one that cannot be, or holds a password."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - read to have it checked
    except ValueError as error:
        raise SettingError(f"{called} cannot be {url!r}: {error}.") from error
    if parts.username is not None or parts.password is not None:
        raise SettingError(f"{called} must not hold a user or a password: it is shown and saved.")
    if parts.query:
        raise SettingError(f"{called} must not hold a query: it is shown and saved.")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.fragment:
        raise SettingError(f"{called} must be like http://127.0.0.1:8000/v1, and not {url!r}.")
    return url.rstrip("/")


def host_url(address: str, *, port: int | None) -> str:
    """Return the URL that an address means: one without `http://` has the port that is usual, unless it names one.

    `0.0.0.0` is where a server listens, which clients reach at 127.0.0.1; spec/ollama 1.
    """
    if port is None or "://" in address:
        return address.rstrip("/")
    host, _, path = address.partition("/")
    name, colon, given = host.partition(":")
    name = "127.0.0.1" if name in ("0.0.0.0", "") else name  # noqa: S104 - nothing listens here
    return f"http://{name}:{given if colon else port}{'/' + path if path else ''}".rstrip("/")
