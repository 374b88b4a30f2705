"""OpenAI's error answers, and answers that are none: into exceptions that carry the facts."""

from typing import TypeVar

import msgspec

from tidyllm.core.errors import ApiError, AuthError, BadAnswerError, QuotaError, RateLimitError, error_class
from tidyllm.core.retry_after import QUOTA_CODES, retry_after_s
from tidyllm.core.wire import Response
from tidyllm.dialect import Site

T = TypeVar("T")

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the JSON they should be; the last one where they are nested too deep."""
_SHOWN_CHARACTERS = 500
_TOO_MANY = 429
_ERROR_STATUSES = range(400, 600)


class ErrorBody(msgspec.Struct, frozen=True):
    """OpenAI's `error` object; `code` is a number on some servers that speak the dialect."""

    message: str | None = None
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


def read_error(body: bytes) -> ErrorBody:
    """Return what an error answer says, as far as it can be made out; never raises."""
    try:
        said = msgspec.json.decode(body, type=_ErrorAnswer)
    except UNREADABLE:
        shown = body.decode(errors="replace").strip()[:_SHOWN_CHARACTERS]
        return ErrorBody(message=None if shown in ("", "null") else shown)
    if isinstance(said.error, ErrorBody):
        return said.error
    return ErrorBody(message=said.error or said.detail or said.message)


def success(response: Response, site: Site) -> bytes:
    """Return a successful answer's body. Raises the ApiError that stands for any other status."""
    if response.ok:
        return response.body
    raise api_error(response, site)


def api_error(response: Response, site: Site) -> ApiError:
    """Return the exception for an answer that is an error, by its status or in spite of it."""
    said = read_error(response.body)
    kind = error_class(_status_meant(response, said))
    if kind is RateLimitError and QUOTA_CODES & {said.code, said.type}:
        kind = QuotaError
    how = f"{response.status}, but with an error" if response.ok else f"{response.status}"
    message = f"{site.provider} answered {how}: {said.message or 'no message'}"
    if kind is AuthError and site.auth is not None:
        message += f" Check the key in {site.auth.env}."
    return kind(
        message,
        status=response.status,
        provider=site.provider,
        code=None if said.code is None else str(said.code),
        param=said.param,
        request_id=response.headers.get("x-request-id"),
        retry_after_s=retry_after_s(response.headers),
        body=response.body,
    )


def decode(body: bytes, shape: type[T], *, site: Site) -> T:
    """Return a successful answer's body as what it should be. Raises BadAnswerError."""
    try:
        return msgspec.json.decode(body, type=shape)
    except UNREADABLE as fault:
        shown = body[:_SHOWN_CHARACTERS].decode(errors="replace")
        raise BadAnswerError(
            f"{site.provider} answered with something else than its documentation says ({fault}): {shown}", body=body
        ) from fault


def _status_meant(response: Response, said: ErrorBody) -> int:
    """Return the status that an error answer has, or should have had: in a 200 it is the error's code that tells."""
    if not response.ok:
        return response.status
    if QUOTA_CODES & {said.code, said.type}:
        return _TOO_MANY
    return said.code if isinstance(said.code, int) and said.code in _ERROR_STATUSES else response.status


class _ErrorAnswer(msgspec.Struct, frozen=True):
    """OpenAI's `error` object, or the plainer words of servers that speak the dialect."""

    error: ErrorBody | str | None = None
    detail: str | None = None
    message: str | None = None
