"""Whether a request is sent again, and after how long; pure."""

import math
from collections.abc import Callable, Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

import msgspec

from tidyllm.core.errors import BodyTooLargeError, ConnectError, TransportError
from tidyllm.core.wire import Repeat, Request, Response

_TIMED_OUT = 408
_TOO_MANY = 429
_SERVER_FAULT = 500

# Refusals in a 429 that waiting does not cure; spec/openai-batch 4.8 and 5.3.
_FINAL_CODES = frozenset({"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached"})

_JITTER = 0.25


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how patiently a request is repeated."""

    attempts_max: int = 5
    """The first one counted."""
    delay_first_s: float = 0.5
    """Before the second attempt; doubled for each one after."""
    delay_max_s: float = 8.0
    retry_after_max_s: float = 120.0
    """An API that asks for a longer wait than this has answered for good: coming back sooner would only annoy it."""


def retry_after_s(headers: Mapping[str, str], now: float) -> float | None:
    """Return how many seconds the API asks to wait; none where it does not say, or says nothing usable.

    `retry-after-ms` goes before `retry-after`, which may be seconds or an HTTP date (RFC 9110, 10.2.3). `now` is in
    seconds since 1970 UTC.
    """
    millis = _positive(headers.get("retry-after-ms"))
    if millis is not None:
        return millis / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    return _positive(value) or _until(value, now)


def should_retry(request: Request, outcome: Response | TransportError) -> bool:
    """Return whether `outcome` may be followed by sending `request` again.

    Tried again are a failed connection, a timeout, 408, 429 and 500 and above, within what `request.repeat` allows.
    409 is not: it says that the state of a thing forbids this. `x-should-retry` overrides the status.
    """
    if request.repeat is Repeat.NEVER:
        return False
    if isinstance(outcome, TransportError):
        if request.repeat is Repeat.IF_NOT_SENT:
            return isinstance(outcome, ConnectError)
        return not isinstance(outcome, BodyTooLargeError)
    if outcome.ok or _is_final(outcome):
        return False
    asked = outcome.headers.get("x-should-retry", "").lower()
    if asked == "false" or (request.repeat is Repeat.IF_NOT_SENT and outcome.status != _TOO_MANY):
        return False
    return asked == "true" or outcome.status in (_TIMED_OUT, _TOO_MANY) or outcome.status >= _SERVER_FAULT


def delay_s(
    policy: RetryPolicy,
    outcome: Response | TransportError,
    *,
    attempt: int,
    now: float,
    random: Callable[[], float],
) -> float | None:
    """Return the wait after attempt number `attempt` (from 1), in seconds; none where it was the last.

    What the API asks for is kept, with up to a quarter more so that a crowd does not return as one; else the delay
    doubles from attempt to attempt, with up to a quarter less.
    """
    if attempt >= policy.attempts_max:
        return None
    asked = retry_after_s(outcome.headers, now) if isinstance(outcome, Response) else None
    if asked is None:
        doubled: float = policy.delay_first_s * 2.0 ** (attempt - 1)
        return min(doubled, policy.delay_max_s) * (1 - _JITTER * random())
    if asked > policy.retry_after_max_s:
        return None
    return asked + min(asked, policy.delay_first_s) * _JITTER * random()


def _positive(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else 0.0
    except ValueError:
        return None
    return number if number > 0 and math.isfinite(number) else None


def _until(value: str, now: float) -> float | None:
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    wait = moment.timestamp() - now
    return wait if wait > 0 else None


def _is_final(answer: Response) -> bool:
    if answer.status != _TOO_MANY:
        return False
    try:
        body = msgspec.json.decode(answer.body)
    except msgspec.DecodeError:
        return False
    error = body.get("error") if isinstance(body, dict) else None
    return isinstance(error, dict) and not _FINAL_CODES.isdisjoint(
        word for word in (error.get("code"), error.get("type")) if isinstance(word, str)
    )
