"""What a dry run shows: the request that would be sent, as it would be, without a secret."""

import msgspec

from tidyllm.client.calls import first_request
from tidyllm.core.wire import Call, Request

_HIDDEN = "…"


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was not sent."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...]
    """With … in place of the key and of the values that the user gave."""
    body: object = None
    """As JSON has it."""
    left_behind: tuple[str, ...] = ()
    """What of the conversation this model would not be told, a sentence each."""

    def __str__(self) -> str:
        lines = [f"{self.method} {self.url}", *(f"{name}: {value}" for name, value in self.headers)]
        if self.body is not None:
            lines += ["", msgspec.json.format(msgspec.json.encode(self.body), indent=2).decode()]
        return "\n".join([*lines, *(["", *self.left_behind] if self.left_behind else [])])


def preview(call: Call[object], *, left_behind: tuple[str, ...] = ()) -> Preview:
    """Return what a call would send first; nothing is sent. Its model must hold no secret (`shown`)."""
    request = first_request(call)
    return Preview(
        method=request.method,
        url=request.url,
        headers=(*_signed(request), *request.headers),
        body=msgspec.json.decode(request.body) if isinstance(request.body, bytes) else None,
        left_behind=left_behind,
    )


def _signed(request: Request) -> tuple[tuple[str, str], ...]:
    auth = request.signature
    return () if auth is None else ((auth.header, auth.prefix + _HIDDEN),)
