"""How much the simulated model takes: so many requests at the same time, and so many a minute."""

import math
from collections import OrderedDict
from collections.abc import Callable

from tidyllm.testing.behavior import OverCapacity
from tidyllm.testing.witness import Stage, Ticket, Witness

MINUTE_S = 60.0
_SECOND_MS = 1000
_MINUTE_MS = 60_000
_ROUNDING = 1e-9
"""Of a token: what adding up fractions may lose."""


class Room:
    """Who is worked on, and who waits for it in the order of coming."""

    def __init__(self, witness: Witness, *, capacity: int, over_capacity: OverCapacity) -> None:
        self._witness = witness
        self._capacity = capacity
        self._refuses = over_capacity is OverCapacity.REFUSE
        self._working = 0
        self._waiting: OrderedDict[Ticket, Callable[[], None]] = OrderedDict()
        self._is_filling = False

    def enter(self, ticket: Ticket, begin: Callable[[], None]) -> bool:
        """Call `begin` now or when the turn comes; return whether that will be, for a full room may refuse."""
        if not self._waiting and self._has_place():
            self._start(ticket, begin)
        elif self._refuses:
            return False
        else:
            self._witness.note_stage(ticket, Stage.WAITING)
            self._waiting[ticket] = begin
        return True

    def leave(self, ticket: Ticket) -> None:
        """Make place for another request, wherever this one was; each leaves once."""
        if ticket.stage is Stage.WORKING:
            self._working -= 1
            self._fill()
        elif ticket.stage is Stage.WAITING:
            del self._waiting[ticket]

    def resize(self, capacity: int) -> None:
        """Work on so many at the same time from now on, 0 being no bound; what is being worked on goes on."""
        self._capacity = capacity
        self._fill()

    def _has_place(self) -> bool:
        return self._capacity == 0 or self._working < self._capacity

    def _fill(self) -> None:
        # A request that is answered as soon as it begins leaves before this loop has ended: were another one to begin
        # there and then, a long queue would be as deep a recursion.
        if self._is_filling:
            return
        self._is_filling = True
        while self._waiting and self._has_place():
            self._start(*self._waiting.popitem(last=False))
        self._is_filling = False

    def _start(self, ticket: Ticket, begin: Callable[[], None]) -> None:
        self._working += 1
        self._witness.note_stage(ticket, Stage.WORKING)
        begin()


class RateBucket:
    """Tokens, one a request, that come back all the time; a minute's worth at most. Moments are in seconds."""

    def __init__(self, per_minute: int, *, now: float) -> None:
        self._per_minute = per_minute
        self._tokens = float(per_minute)
        self._filled_at = now

    def take(self, now: float) -> float:
        """Take a token and return 0, or else return in how many seconds there will be one."""
        self._refill(now)
        if self._tokens >= 1 - _ROUNDING:
            self._tokens -= 1
            return 0.0
        return (1 - self._tokens) * MINUTE_S / self._per_minute

    def headers(self, now: float) -> tuple[tuple[str, str], ...]:
        """Return what is told of the limit, under the names that OpenAI gives it."""
        self._refill(now)
        full_in_s = (self._per_minute - self._tokens) * MINUTE_S / self._per_minute
        return (
            ("x-ratelimit-limit-requests", str(self._per_minute)),
            ("x-ratelimit-remaining-requests", str(int(self._tokens + _ROUNDING))),
            ("x-ratelimit-reset-requests", duration(full_in_s)),
        )

    def _refill(self, now: float) -> None:
        refilled = self._tokens + (now - self._filled_at) * self._per_minute / MINUTE_S
        self._tokens = min(refilled, float(self._per_minute))
        self._filled_at = now


def duration(seconds: float) -> str:
    """Return a duration as OpenAI writes one, rounded up to milliseconds: `120ms`, `1.5s`, `6m0s`."""
    milliseconds = round_up_ms(seconds)
    if 0 < milliseconds < _SECOND_MS:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, _MINUTE_MS)
    hours, minutes = divmod(minutes, 60)
    written = f"{rest / _SECOND_MS:g}s"
    if hours:
        return f"{hours}h{minutes}m{written}"
    return f"{minutes}m{written}" if minutes else written


def round_up_ms(seconds: float) -> int:
    """Return whole milliseconds that are no shorter, so that who waits them out does not come too early."""
    return math.ceil(round(seconds * _SECOND_MS, 6))  # A whole number may have become a little more.
