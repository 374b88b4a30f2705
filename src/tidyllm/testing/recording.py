"""Recording exchanges: what goes over the real network is written down as `play` reads it, and no secret with it."""

import contextlib
import logging
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from itertools import count
from os import PathLike
from pathlib import Path
from urllib.parse import quote, urlsplit

import msgspec

from tidyllm.client.disk import write_durably
from tidyllm.core.auth import Hidden
from tidyllm.core.clock import Clock, SystemClock
from tidyllm.core.wire import Multipart, Request, Response
from tidyllm.testing.exchanges import HIDDEN, hidden_query
from tidyllm.transport.background import BACKGROUND
from tidyllm.transport.drive import Sender, Transport

_LOG = logging.getLogger("tidyllm")
_KEPT_HEADERS = re.compile(
    r"content-type|retry-after(-ms)?|x-should-retry|x-request-id|request-id|x-generation-id|apim-request-id"
    r"|x-ds-trace-id|(x|anthropic)-ratelimit-.*"
)
"""The headers of an answer that somebody reads; any other may hold an account's name or a cookie."""
_KEY_CHARACTERS_MIN = 12
"""What is shorter opens no door, as the `ollama` that local servers are given, and stands in many an innocent text."""
_SCHEMES = ("Bearer ", "Basic ", "Token ")
_JSON = re.compile(r"application/([\w.-]+\+)?json\b")
_ODD = re.compile(r"[^A-Za-z0-9._-]+")
_NAME_CHARACTERS_MAX = 60
_NUMBERED = re.compile(r"(\d+)_.*\.json")


def record(folder: str | PathLike[str]) -> Transport:
    """Return what sends over the real network, with real keys, and writes each exchange into a file of `folder`.

        with using(record("exchanges/")):
            chat("Who was Konrad Zuse?", openai())

    `play("exchanges/")` then answers the same requests without a network. No header of a request is written, of an
    answer's only those that say something about it; wherever else the key stands, … is written in its place. What
    is no text, or cannot be written, is left out and the log says so: the answer itself always arrives.
    """
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    return Transport(sender=Recorder(BACKGROUND, place))


class Recorder:
    """Sends by another sender and writes down each exchange that came to an answer; made by `record`."""

    def __init__(self, sender: Sender, folder: Path, *, clock: Clock | None = None) -> None:
        self._sender = sender
        self._folder = folder
        self._clock = clock or SystemClock()
        taken = (_NUMBERED.fullmatch(path.name) for path in folder.iterdir())
        self._numbers = count(1 + max((int(match[1]) for match in taken if match), default=0))

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        """Return the answer once it is written down."""
        # Numbered as they are sent: `play` answers equal requests in this order.
        number = next(self._numbers)
        response = await self._sender.send(request, headers)
        try:
            self._write(number, request, response=response, hide=_Secrets(_secrets(request, headers)))
        except UnicodeDecodeError:
            _LOG.warning("%s %s was not recorded: what was said is no text.", request.method, hidden_query(request.url))
        except OSError as fault:
            _LOG.warning("%s %s was not recorded: %s", request.method, hidden_query(request.url), fault)
        return response

    def _write(self, number: int, request: Request, *, response: Response, hide: "_Secrets") -> None:
        day = datetime.fromtimestamp(self._clock.now(), UTC).date()
        url = hide.in_text(hidden_query(request.url))
        asked: dict[str, object] = {"method": request.method, "url": url}
        if (sent := _sent(request)) is not None:
            asked["body"] = _as_body(sent, is_json=True, hide=hide)
        content = _as_body(_received(request, response), is_json=_is_json(response.headers), hide=hide)
        answered: dict[str, object] = {"status": response.status, "headers": _kept(response.headers, hide)}
        if isinstance(content, str) and content.endswith("\n"):
            answered["lines"] = content[:-1].split("\n")
        elif content != "":
            answered["body"] = content
        exchange = {"source": f"recorded {day}", "request": asked, "response": answered}
        name = f"{request.method.lower()}_{_last_piece(url)}.json"
        write_durably(self._free(number, name), [msgspec.json.format(msgspec.json.encode(exchange), indent=1), b"\n"])

    def _free(self, number: int, name: str) -> Path:
        """Return a file of that number, or of a later one if another recorder has it; it is there from now on."""
        while True:
            path = self._folder / f"{number:03}_{name}"
            with contextlib.suppress(FileExistsError):
                path.touch(exist_ok=False)
                return path
            number = next(self._numbers)


class _Secrets:
    """Texts that are not to be written down, in every spelling in which JSON or a URL may have them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
        self._pattern = re.compile("|".join(map(re.escape, sorted(spellings, key=len, reverse=True))) or r"(?!)")

    def in_text(self, text: str) -> str:
        return self._pattern.sub(HIDDEN, text)

    def in_json(self, text: str) -> msgspec.Raw | object:
        """Return a text of JSON as it stands, or, where it holds a secret, what it says without."""
        value: object = msgspec.json.decode(text)
        hidden = self._in_value(value)
        return msgspec.Raw(text.encode()) if hidden == value and self.in_text(text) == text else hidden

    def _in_value(self, value: object) -> object:
        if isinstance(value, str):
            return self.in_text(value)
        if isinstance(value, list):
            return [self._in_value(one) for one in value]
        if isinstance(value, dict):
            return {self.in_text(name): self._in_value(one) for name, one in value.items()}
        return value


def _spellings(secret: str) -> set[str]:
    escaped = msgspec.json.encode(secret).decode()[1:-1]
    return {secret, escaped, escaped.replace("/", "\\/"), quote(secret, safe="")}


def _secrets(request: Request, headers: tuple[tuple[str, str], ...]) -> set[str]:
    """Return the key, and what the user's own headers hold, each without the scheme that stands before it."""
    prefix = request.auth.prefix if request.auth is not None else ""
    own = (value for _, value in request.headers if isinstance(value, Hidden))
    values = {value.removeprefix(prefix) for value in (*own, *(value for _, value in headers))}
    values |= {value.rpartition(" ")[2] for value in values if value.startswith(_SCHEMES)}
    return {str(value) for value in values if len(value) >= _KEY_CHARACTERS_MIN}


def _sent(request: Request) -> bytes | None:
    """Return the body; none where there is none to compare: a form's boundary is another each time."""
    if request.body is None or isinstance(request.body, Multipart):
        return None
    return request.body if isinstance(request.body, bytes) else request.body.read_bytes()


def _kept(headers: Mapping[str, str], hide: _Secrets) -> dict[str, str]:
    return {name: hide.in_text(value) for name, value in headers.items() if _KEPT_HEADERS.fullmatch(name)}


def _is_json(headers: Mapping[str, str]) -> bool:
    return _JSON.match(headers.get("content-type", "")) is not None


def _received(request: Request, response: Response) -> bytes:
    """Return the answer's body; one with a sink is there."""
    return request.sink.read_bytes() if request.sink is not None and response.ok else response.body


def _as_body(body: bytes, *, is_json: bool, hide: _Secrets) -> object:
    """Return a body as a file has it: JSON as it stands, or one text. Raises UnicodeError where it is no text."""
    text = body.decode()
    if is_json and text.lstrip().startswith(("{", "[")):
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            return hide.in_json(text)
    return hide.in_text(text)


def _last_piece(url: str) -> str:
    return _ODD.sub("-", urlsplit(url).path.rpartition("/")[2])[:_NAME_CHARACTERS_MAX] or "root"
