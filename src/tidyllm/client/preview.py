"""What a dry run shows: the request that would be sent, as it would be, without a secret."""

from collections.abc import Iterable, Mapping

import msgspec

from tidyllm.client.calls import first_request
from tidyllm.core.media import Media
from tidyllm.core.wire import Call, Request
from tidyllm.dialects.media import base64_of

_HIDDEN = "…"


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was not sent."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    """With … in place of the key and of the values that the user gave."""
    body: object = None
    """As JSON has it; how long images and files are stands in place of their bytes."""
    left_behind: tuple[str, ...] = ()
    """What of the conversation this model would not be told, a sentence each."""

    def __str__(self) -> str:
        lines = [f"{self.method} {self.url}", *(f"{name}: {value}" for name, value in self.headers)]
        if self.body is not None:
            lines += ["", msgspec.json.format(msgspec.json.encode(self.body), indent=2).decode()]
        return "\n".join([*lines, *(["", *self.left_behind] if self.left_behind else [])])


def preview(call: Call[object], *, left_behind: tuple[str, ...] = (), media: Iterable[Media] = ()) -> Preview:
    """Return what a call would send first; nothing is sent. Its model must hold no secret (`shown`).

    `media` are the images and files that go with it, whose bytes are not shown.
    """
    request = first_request(call)
    body = msgspec.json.decode(request.body) if isinstance(request.body, bytes) else None
    written = {base64_of(one): f"({len(one.data):,} bytes)" for one in media if one.data}
    return Preview(
        method=request.method,
        url=request.url,
        headers=(*_signed(request), *request.headers),
        body=_short(body, written) if written else body,
        left_behind=left_behind,
    )


def _short(value: object, written: Mapping[str, str]) -> object:
    """Return a body with something short in place of what is written of bytes, as base64, alone or in a URL."""
    if isinstance(value, str):
        before, comma, after = value.rpartition(",")
        return before + comma + written.get(after, after)
    if isinstance(value, list):
        return [_short(one, written) for one in value]
    if isinstance(value, dict):
        return {name: _short(one, written) for name, one in value.items()}
    return value


def _signed(request: Request) -> tuple[tuple[str, str], ...]:
    auth = request.signature
    return () if auth is None else ((auth.header, auth.prefix + _HIDDEN),)
