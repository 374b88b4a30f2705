"""Whether a request is sent again, and after how long; pure."""

from collections.abc import Callable

import msgspec

from tidyllm.core.errors import AnswerTimeoutError, BodyTooLargeError, ConnectError, TransportError
from tidyllm.core.problem import Problem, problem_in_success, read_problem
from tidyllm.core.retry_after import retry_after_s
from tidyllm.core.wire import Repeat, Request, Response

_TIMED_OUT = 408
_TOO_MANY = 429
_SERVER_FAULT = 500
_ELSEWHERE = (424, 498)
"""What Perplexity says of the model behind it, and Groq of its capacity: faults of servers as well."""

_JITTER = 0.25


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how patiently a request is repeated."""

    attempts_max: int = 5
    """The first one counted."""
    delay_first_s: float = 0.5
    """Before the second attempt; doubled for each one after."""
    delay_max_s: float = 8.0
    timeouts_max: int = 2
    """How often a request may run out of time: each time is a long one, and each may have been paid for."""
    retry_after_max_s: float = 120.0
    """An API that asks for a longer wait than this has answered for good: coming back sooner would only annoy it."""


def should_retry(request: Request, outcome: Response | TransportError, *, told: bytes | None = None) -> bool:
    """Return whether `outcome` may be followed by sending `request` again; `told` is the error that a stream told of.

    Tried again are a failed connection, a timeout, 408, 424, 429, 498 and 500 and above, within what `request.repeat`
    allows. 409 is not: it says that the state of a thing forbids this. `x-should-retry` overrides the status.
    """
    if request.repeat is Repeat.NEVER:
        return False
    if isinstance(outcome, TransportError):
        if request.repeat is Repeat.IF_NOT_SENT:
            return isinstance(outcome, ConnectError)
        return not isinstance(outcome, BodyTooLargeError)
    if told is not None or not outcome.ok:
        problem: Problem | None = read_problem(outcome.body if told is None else told)
    else:
        problem = problem_in_success(outcome.body)
    if problem is None or problem.final:
        return False
    status = (problem.status or 0) if outcome.ok or problem.passing else outcome.status
    asked = outcome.headers.get("x-should-retry", "").lower()
    if asked == "false" or (request.repeat is Repeat.IF_NOT_SENT and status != _TOO_MANY):
        return False
    return asked == "true" or status in (_TIMED_OUT, _TOO_MANY, *_ELSEWHERE) or status >= _SERVER_FAULT


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
    most = policy.timeouts_max if isinstance(outcome, AnswerTimeoutError) else policy.attempts_max
    if attempt >= most:
        return None
    asked = _asked_s(outcome, now=now) if isinstance(outcome, Response) else None
    if asked is None:
        doubled: float = policy.delay_first_s * 2.0 ** (attempt - 1)
        return min(doubled, policy.delay_max_s) * (1 - _JITTER * random())
    if asked > policy.retry_after_max_s:
        return None
    return asked + min(asked, policy.delay_first_s) * _JITTER * random()


def _asked_s(answer: Response, *, now: float) -> float | None:
    """Return the wait that an answer asks for, by its headers or in its body."""
    asked_s = retry_after_s(answer.headers, now=now)
    return read_problem(answer.body).retry_after_s if asked_s is None else asked_s
