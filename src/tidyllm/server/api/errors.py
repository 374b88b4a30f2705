"""What the API answers when it refuses, in OpenAI's shape, with its messages and codes.

The cases are those of spec/openai-batch 2.6, 4.4 to 4.8; the rest follows the same convention.
"""

from collections.abc import Iterable, Mapping
from types import NoneType

import msgspec
from starlette.responses import Response

JSON_TYPE = "application/json"
_SERVER_FAULT = 500
_TYPE_WORDS: Mapping[type, str] = {
    NoneType: "null",
    bool: "a boolean",
    str: "a string",
    int: "an integer",
    float: "a decimal",
    list: "an array",
}


class RefusedError(Exception):
    """A request that is answered with an error. `status`, `param`, `code` and `headers` are those of the answer."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.headers = headers


def error_response(refused: RefusedError) -> Response:
    """Return the HTTP answer that says what was refused and why."""
    error = {
        "message": str(refused),
        "type": "server_error" if refused.status >= _SERVER_FAULT else "invalid_request_error",
        "param": refused.param,
        "code": refused.code,
    }
    body = msgspec.json.encode({"error": error})
    return Response(body, status_code=refused.status, headers=refused.headers, media_type=JSON_TYPE)


def internal_error() -> RefusedError:
    """Return the answer for a fault of ours: it tells the client nothing but that it may try again."""
    return RefusedError("The server had an error while processing your request.", status=500)


def disk_full() -> RefusedError:
    """Return the answer while there is no room to keep anything new. The SDKs would send a large file three times."""
    message = "The server's disk is full or read-only, so it cannot keep what you send. Try again when it has space."
    headers = {"x-should-retry": "false"}
    return RefusedError(message, status=507, code="insufficient_storage", headers=headers)


def storage_trouble() -> RefusedError:
    """Return the answer while the disk or the database fails or is too busy: nothing was done."""
    message = "The server cannot reach its storage right now; nothing was done. Try again in a moment."
    return RefusedError(message, status=503, code="storage_unavailable", headers={"retry-after": "1"})


def stopping() -> RefusedError:
    """Return the answer to a request that a stop of the server could not wait for."""
    return RefusedError("The server is stopping, and has not finished this request.", status=503)


def missing(param: str) -> RefusedError:
    """Return the refusal of a request without a parameter it needs."""
    return RefusedError(f"Missing required parameter: '{param}'.", param=param, code="missing_required_parameter")


def unknown(param: str) -> RefusedError:
    """Return the refusal of a parameter that does not exist."""
    return RefusedError(f"Unknown parameter: '{param}'.", param=param, code="unknown_parameter")


def wrong_type(param: str, *, expected: str, value: object) -> RefusedError:
    """Return the refusal of a value of another type than `expected`, which has its article: "a string"."""
    message = f"Invalid type for '{param}': expected {expected}, but got {type_words(value)} instead."
    return RefusedError(message, param=param, code="invalid_type")


def wrong_value(param: str, *, value: str, supported: Iterable[str]) -> RefusedError:
    """Return the refusal of a word that is none of those supported."""
    words = ", ".join(f"'{word}'" for word in supported)
    message = f"Invalid value: '{value}'. Supported values are: {words}."
    return RefusedError(message, param=param, code="invalid_value")


def no_such_file(file_id: str) -> RefusedError:
    """Return the answer for a file that is unknown, deleted or expired."""
    return RefusedError(f"No such File object: {file_id}", status=404, param="id")


def no_such_batch(batch_id: str, *, param: str | None = None) -> RefusedError:
    """Return the answer for a batch that is unknown."""
    return RefusedError(f"No batch found with id '{batch_id}'.", status=404, param=param)


def too_large(what: str, *, bytes_max: int, param: str | None = None) -> RefusedError:
    """Return the refusal of a body or file above its limit."""
    message = f"{what} is too large: the limit is {bytes_max:,} bytes."
    return RefusedError(message, status=413, param=param, code="request_too_large")


def type_words(value: object) -> str:
    """Return the name of a JSON value's type with its article, as error messages say it."""
    return _TYPE_WORDS.get(type(value), "an object")
