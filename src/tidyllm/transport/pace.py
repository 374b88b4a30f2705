"""Not flooding those who are asked: what their answers say of their limits, and the pause that follows from it."""

import threading

import msgspec

from tidyllm.core.problem import read_problem
from tidyllm.core.rate_limit import RateLimit, read_rate_limit
from tidyllm.core.retry_after import retry_after_s
from tidyllm.core.wire import Lane, Response

PAUSE_MAX_S = 120.0
"""Longest pause that is kept for an API: what asks for more, as a quota of the day, is left to answer by itself."""
_OVERLOADED = (429, 503, 529)


class Seen(msgspec.Struct, frozen=True):
    """What an API last said of its limits."""

    limit: RateLimit
    at: float
    """When, in seconds since 1970 UTC."""


class Pace:
    """What is known of the limits of each lane; one for all calls of a process, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: dict[Lane, Seen] = {}
        self._until: dict[Lane, float] = {}

    @property
    def seen(self) -> dict[Lane, Seen]:
        """Return what each lane last told."""
        with self._lock:
            return dict(self._seen)

    def wait_s(self, lane: Lane | None, *, now: float) -> float:
        """Return how long a request of that lane should wait before it is sent, in seconds; `now` is since 1970."""
        with self._lock:
            left_s = 0.0 if lane is None else self._until.get(lane, now) - now
        # No longer than the longest pause, should the clock have been set back meanwhile.
        return min(max(left_s, 0.0), PAUSE_MAX_S)

    def note(self, lane: Lane | None, answer: Response, *, now: float) -> None:
        """Take in what an answer says of limits."""
        if lane is None:
            return
        limit = read_rate_limit(answer.headers, now=now)
        pause_s = _pause_s(answer, limit, now=now)
        with self._lock:
            if limit is not None:
                self._seen[lane] = Seen(limit, now)
            if 0 < pause_s <= PAUSE_MAX_S:
                self._until[lane] = max(self._until.get(lane, 0.0), now + pause_s)


def _pause_s(answer: Response, limit: RateLimit | None, *, now: float) -> float:
    """Return how long nothing more is taken."""
    if answer.status in _OVERLOADED:
        asked_s = retry_after_s(answer.headers, now=now)
        return (read_problem(answer.body).retry_after_s or 0.0) if asked_s is None else asked_s
    if limit is None:
        return 0.0
    waits = [
        reset_s
        for remaining, reset_s in (
            (limit.requests_remaining, limit.requests_reset_s),
            (limit.tokens_remaining, limit.tokens_reset_s),
        )
        if remaining == 0 and reset_s is not None
    ]
    return max(waits, default=0.0)
