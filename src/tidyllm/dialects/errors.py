"""Error answers of every provider, and answers that are none, into exceptions that carry the facts."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from tidyllm.core.errors import ApiError, AuthError, BadAnswerError, QuotaError, RateLimitError, error_class
from tidyllm.core.problem import SHOWN_CHARACTERS, UNREADABLE, Problem, problem_in_success, read_problem
from tidyllm.core.retry_after import retry_after_s
from tidyllm.core.wire import Response
from tidyllm.dialect import Site

T = TypeVar("T")

_REQUEST_IDS = (
    "x-request-id",
    "request-id",
    "mistral-correlation-id",
    "x-generation-id",
    "apim-request-id",
    "x-ds-trace-id",
)
"""Headers that name a request, as OpenAI, Anthropic, Mistral, OpenRouter, Azure and DeepSeek call them."""
_MOVED, _WRONG, _WRONG_KEY = 300, 400, 401


def request_id(headers: Mapping[str, str]) -> str | None:
    """Return what to name when asking the provider about an answer."""
    for name in _REQUEST_IDS:
        if found := headers.get(name):
            return found
    return None


def success(response: Response, site: Site) -> bytes:
    """Return a successful answer's body. Raises the ApiError that stands for any other, an error in a 200 included."""
    problem = problem_in_success(response.body) if response.ok else read_problem(response.body)
    if problem is None:
        return response.body
    raise api_error(problem, response, site=site)


def api_error(problem: Problem, response: Response, *, site: Site) -> ApiError:
    """Return the exception for an answer that is an error, by its status or in spite of it."""
    # What a status says goes before the words, but a key that is wrong is told by Google in a 400's words alone.
    by_words = response.ok or problem.passing or problem.status == _WRONG_KEY
    status = problem.status if by_words and problem.status is not None else response.status
    kind = error_class(status)
    if problem.final and (kind is RateLimitError or kind is ApiError):
        kind = QuotaError
    how = f"{response.status}, but with an error" if response.ok else f"{response.status}"
    message = f"{site.provider} answered {how}: {problem.message or 'no message'}"
    if kind is AuthError and site.auth is not None:
        message += f" Check the key in {site.auth.env}, or the one that was given as api_key=."
    if _MOVED <= response.status < _WRONG:
        place = response.headers.get("location", "nowhere")
        message += f" It points to {place}, and redirects are not followed: give the right base_url=."
    asked_s = retry_after_s(response.headers)
    error = kind(
        message,
        status=response.status,
        provider=site.provider,
        code=problem.code,
        param=problem.param,
        request_id=request_id(response.headers) or problem.request_id,
        retry_after_s=problem.retry_after_s if asked_s is None else asked_s,
        body=response.body,
    )
    error.attempts, error.seconds = response.attempts, response.seconds
    return error


def decode(body: bytes, shape: type[T], *, site: Site) -> T:
    """Return a successful answer's body as what it should be. Raises BadAnswerError."""
    try:
        return msgspec.json.decode(body, type=shape)
    except UNREADABLE as fault:
        shown = body[:SHOWN_CHARACTERS].decode(errors="replace")
        raise BadAnswerError(
            f"{site.provider} answered with something else than its documentation says ({fault}): {shown}", body=body
        ) from fault
