"""Replayed exchanges: a sender that answers from files instead of the network.

One file holds one exchange, as JSON:

    {"source": "recorded 2025-11, or the URL of the documentation",
     "request": {"method": "GET", "url": "https://api.openai.com/v1/batches?limit=20", "body": ...},
     "response": {"status": 200, "headers": {...}, "body": ...}}

A body is JSON as it stands, or a string that is the body's text; in place of a response's `body`, `lines` has the lines
of a text, each with its line end left out, as of a stream. A request's body is left out where it does not matter. What
else a file says of the exchange under `note` is for whoever reads it.
"""

import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TypeAlias
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import msgspec

from tidyllm.core.errors import SettingError
from tidyllm.core.wire import Multipart, Request, Response

SHOWN_BYTES_MAX = 500
"""Of each body that an error message quotes."""
HIDDEN = "…"
"""What stands in a file where a secret stood."""
_SECRET_PARAMETERS = re.compile(
    r"key|api[-_]?key|(access[-_]?)?token|(client[-_]?)?secret|sig|signature|x-(amz|goog)-(signature|credential|security-token)",
    re.IGNORECASE,
)
"""Names in a query whose value is a key or a signature."""

_Place: TypeAlias = tuple[str, str, str, tuple[tuple[str, str], ...]]


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    method: str
    url: str
    body: msgspec.Raw = msgspec.Raw()

    def matches(self, request: Request) -> bool:
        if self.method != request.method or _place(self.url) != _place(request.url):
            return False
        return not _is_stated(self.body) or _equal(self.body, request)


class _Answered(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    status: int
    headers: dict[str, str] = {}
    body: msgspec.Raw = msgspec.Raw()
    lines: list[str] | None = None

    def content(self) -> bytes:
        if self.lines is not None:
            return "".join(f"{line}\n" for line in self.lines).encode()
        body = bytes(self.body) if _is_stated(self.body) else b""
        return msgspec.json.decode(body, type=str).encode() if body.startswith(b'"') else body


class _Exchange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    request: _Asked
    response: _Answered
    note: object = None


class Player:
    """Answers each request from the exchange that fits it; made by `play`.

    An exchange fits if the method and the URL are the same, whatever the order of the query, and the body too if
    the file states one: compared as JSON, or as text if it is a string. Where several fit, they are played in the
    order in which they were given, the last again and again.
    """

    def __init__(self, exchanges: Mapping[str, _Exchange]) -> None:
        self._exchanges = exchanges
        self._played: set[str] = set()
        self.sent: list[Request] = []
        """Every request so far, fitting or not."""

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] | None = None) -> Response:
        """Return the recorded answer; raise SettingError, with a list of what there is, if none fits.

        `headers`, with which a driver signs, do not matter. A good answer goes into the request's `sink`, if any.
        """
        del headers
        self.sent.append(request)
        fitting = [name for name, exchange in self._exchanges.items() if exchange.request.matches(request)]
        if not fitting:
            raise SettingError(self._nothing_fits(request))
        name = next((name for name in fitting if name not in self._played), fitting[-1])
        self._played.add(name)
        return _respond(self._exchanges[name].response, request)

    def _nothing_fits(self, request: Request) -> str:
        known = [
            f"  {name}: {asked.method} {asked.url}{_with(bytes(asked.body))}"
            for name, asked in ((name, exchange.request) for name, exchange in self._exchanges.items())
        ]
        body = _with(request.body if isinstance(request.body, bytes) else b"")
        return "\n".join([f"No exchange fits {request.method} {request.url}{body}. There are:", *known])


def play(*paths: str | PathLike[str]) -> Player:
    """Return a player of the exchanges in these files; raise SettingError if one cannot be read as an exchange.

    A folder stands for all its `.json` files, in the order of their names.
    """
    return Player({str(path): _load(path) for given in paths for path in _files(Path(given))})


def hidden_query(url: str) -> str:
    """Return a URL with … in place of what its query has of keys and signatures."""
    parts = urlsplit(url)
    fields = (field.partition("=") for field in parts.query.split("&"))
    shown = (
        f"{name}={HIDDEN}" if _SECRET_PARAMETERS.fullmatch(name) else name + equals + value
        for name, equals, value in fields
    )
    return urlunsplit(parts._replace(query="&".join(shown)))


def content_of(path: str | PathLike[str]) -> bytes:
    """Return the body that the exchange in this file is answered with; raise SettingError as `play` does."""
    return _load(Path(path)).response.content()


def _files(path: Path) -> list[Path]:
    """Return the file, or those of a folder; what is hidden there was not written to its end."""
    if not path.is_dir():
        return [path]
    found = sorted(one for one in path.glob("*.json") if not one.name.startswith("."))
    if not found:
        raise SettingError(f"The folder {path} holds no exchange: there is no .json file in it.")
    return found


def _load(path: Path) -> _Exchange:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Exchange)
    except (OSError, msgspec.DecodeError) as error:
        raise SettingError(f"{path} is not an exchange: {error}.") from error


def _place(url: str) -> _Place:
    parts = urlsplit(hidden_query(url))
    return parts.scheme, parts.netloc, parts.path, tuple(sorted(parse_qsl(parts.query, keep_blank_values=True)))


def _is_stated(body: msgspec.Raw) -> bool:
    return bytes(body) not in {b"", b"null"}


def _with(body: bytes) -> str:
    return f" with {body[:SHOWN_BYTES_MAX].decode(errors='replace')}" if body else ""


def _equal(stated: msgspec.Raw, request: Request) -> bool:
    if request.body is None or isinstance(request.body, Multipart):
        return False
    sent = request.body if isinstance(request.body, bytes) else request.body.read_bytes()
    expected: object = msgspec.json.decode(stated)
    if isinstance(expected, str):
        return sent == expected.encode()
    try:
        return bool(msgspec.json.decode(sent) == expected)
    except msgspec.DecodeError:
        return False


def _respond(answered: _Answered, request: Request) -> Response:
    body = answered.content()
    headers = {name.lower(): value for name, value in answered.headers.items()}
    response = Response(status=answered.status, headers=headers, body=body)
    if request.receive is not None and response.ok:
        request.receive(body)
    if request.sink is None or not response.ok:
        return response
    request.sink.write_bytes(body)
    return msgspec.structs.replace(response, body=b"")
