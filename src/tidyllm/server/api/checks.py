"""Reading single parameters out of queries, forms and JSON bodies, each with its refusal."""

import re
from contextlib import aclosing

import msgspec
from starlette.requests import Request

from tidyllm.server.api.errors import RefusedError, missing, too_large, wrong_type, wrong_value

_INTEGER = re.compile(r"-?[0-9]{1,18}")

EXPIRY_S_MIN = 3_600
EXPIRY_S_MAX = 2_592_000
"""Bounds of `expires_after` and `output_expires_after`, in seconds; spec/openai-batch 2.1 and 4.1."""


def parse_integer(text: str, *, param: str) -> int:
    """Return the whole number a query or a form field spells; raises RefusedError."""
    if not _INTEGER.fullmatch(text):
        raise wrong_type(param, expected="an integer", value=text)
    return int(text)


def check_range(value: int, *, param: str, low: int, high: int) -> int:
    """Return the number if it lies within its bounds, both included; raises RefusedError."""
    if value < low:
        message = f"Invalid '{param}': integer below minimum value. Expected a value >= {low}, but got {value} instead."
        raise RefusedError(message, param=param, code="integer_below_min_value")
    if value > high:
        message = (
            f"Invalid '{param}': integer above maximum value. Expected a value <= {high}, but got {value} instead."
        )
        raise RefusedError(message, param=param, code="integer_above_max_value")
    return value


def page_limit(request: Request, *, low: int, high: int, default: int) -> int:
    """Return the query's `limit`; raises RefusedError if it is no number within its bounds."""
    text = request.query_params.get("limit")
    return (
        default if text is None else check_range(parse_integer(text, param="limit"), param="limit", low=low, high=high)
    )


def page_cursor(request: Request) -> str | None:
    """Return the query's `after`; an empty one is the same as none."""
    return request.query_params.get("after") or None


def check_anchor(anchor: object, *, param: str) -> None:
    """Raise RefusedError unless an expiry is counted from where OpenAI counts it."""
    if anchor is None:
        raise missing(param)
    if not isinstance(anchor, str):
        raise wrong_type(param, expected="a string", value=anchor)
    if anchor != "created_at":
        raise wrong_value(param, value=anchor, supported=["created_at"])


async def read_json(request: Request, *, bytes_max: int) -> dict[str, object]:
    """Return the object in a request's body, empty for an empty body; raises RefusedError."""
    body = await read_body(request, bytes_max=bytes_max)
    if not body.strip():
        return {}
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RefusedError(f"The body of your request could not be read as JSON: {error}.") from error
    if not isinstance(value, dict):
        raise wrong_type("body", expected="an object", value=value)
    return value


async def read_body(request: Request, *, bytes_max: int) -> bytes:
    """Return a request's body; raises RefusedError as soon as it is larger than allowed."""
    body = bytearray()
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > bytes_max:
                raise too_large("The body of your request", bytes_max=bytes_max)
    return bytes(body)
