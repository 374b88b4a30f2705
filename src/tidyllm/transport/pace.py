"""Not flooding those who are asked: how many requests may be under way, how fast they may follow, and when to pause."""

import heapq
import math

import msgspec

from tidyllm.core.problem import read_problem
from tidyllm.core.rate_limit import RateLimit, read_rate_limit
from tidyllm.core.retry_after import retry_after_s
from tidyllm.core.wire import Response
from tidyllm.transport.concurrency import LIMIT_MAX, Concurrency

PAUSE_MAX_S = 120.0
"""Longest pause that is kept for an API: what asks for more, as a quota of the day, is left to answer by itself."""
REST_S = 1.0
"""How long a place rests whose request was refused, where the answer does not say."""
REFUSED_OFTEN = 0.2
"""With more refusals than this share, each leaves its place resting: else the next request would be refused at once."""
REFUSED_MOSTLY = 0.8
"""With more, all wait as long as a refusal asks."""
REFUSALS_WEIGHT_MIN = 0.01
WAIT_S_MIN = 1e-6
"""What is shorter is no wait: rounding leaves some."""
BURST_S = 1.0
"""Of a ceiling by the minute, so much may go out at once."""
MINUTE_S = 60.0
OVERLOADED = frozenset({429, 503, 529})
"""Answers of an upstream that takes no more just now."""


class Ceilings(msgspec.Struct, frozen=True, kw_only=True):
    """What may never be passed; null is no ceiling."""

    concurrency: int | None = None
    """Requests under way at the same time."""
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    """Of prompts and answers together."""


NO_CEILINGS = Ceilings()


class Bucket:
    """So much a minute and no more, in whichever minute; what goes out is known before, or put right afterwards."""

    def __init__(self, per_minute: float, *, now: float, level: float = math.inf) -> None:
        burst = per_minute * BURST_S / MINUTE_S
        self._size = max(burst, 1.0)
        # What may go out at once is taken off the rest, so that it holds for every minute.
        self._per_second = max(per_minute - self._size, per_minute / 2) / MINUTE_S
        self._level = min(self._size, level)
        self._at = now

    def wait_s(self, amount: float, *, now: float) -> float:
        """Return after how many seconds so much may go out; more than fits waits until it is full."""
        missing = min(amount, self._size) - self.level(now)
        return max(missing / self._per_second, 0.0)

    def take(self, amount: float, *, now: float) -> None:
        """Let so much go out; what is below nothing is made up for by waiting."""
        self._level = self.level(now) - amount
        self._at = now

    def level(self, now: float) -> float:
        """Return how much may go out at once."""
        return min(self._size, self._level + (now - self._at) * self._per_second)


class Announced:
    """What an API said is left until its window ends: it is spread over that time.

    Where the window is one that fills again all the time, this settles at half of what it holds, at the full rate.
    """

    def __init__(self) -> None:
        self._left = math.inf
        self._until = -math.inf
        self._next = -math.inf

    def hear(self, remaining: int | None, reset_s: float | None, *, now: float, under_way: int) -> None:
        """Take in what an answer says; those under way it may not have counted yet."""
        if remaining is not None and reset_s is not None:
            self._left, self._until = remaining - under_way, now + reset_s

    def wait_s(self, *, now: float) -> float:
        """Return after how many seconds the next request may go out."""
        if now >= self._until:
            return 0.0
        return max((self._next if self._left > 0 else self._until) - now, 0.0)

    def take(self, amount: float, *, now: float) -> None:
        """Let so much go out."""
        if now < self._until and self._left > 0:
            self._next = max(self._next, now) + amount * (self._until - now) / self._left
            self._left -= amount


class LanePace:
    """The pace of one lane: whether a request may go now, by ceilings, by what was found and by what answers say.

    `now` is of one monotonic clock, in seconds.
    """

    def __init__(self, *, now: float, ceilings: Ceilings = NO_CEILINGS, learned: float | None = None) -> None:
        self.concurrency = Concurrency(now=now, learned=learned, most=ceilings.concurrency or LIMIT_MAX)
        self._requests: Bucket | None = None
        self._tokens: Bucket | None = None
        self._last: list[Bucket | None] = [None, None]
        """The last buckets of both, which a ceiling that follows takes over: else each would begin with a burst."""
        self._announced = (Announced(), Announced())
        """Of requests and of tokens."""
        self._resting: list[float] = []
        """When each place that rests may be taken again, as a heap."""
        self._until = -math.inf
        self._quiet_from = -math.inf
        """From when on nothing that an answer said holds any more."""
        self._outcomes = 0
        self._refused_share = 0.0
        self.told: RateLimit | None = None
        """What the last answer said of limits."""
        self.keep(ceilings, now=now)

    def keep(self, ceilings: Ceilings, *, now: float) -> None:
        """Keep other ceilings from now on."""
        self.ceilings = ceilings
        self.concurrency.cap(ceilings.concurrency or LIMIT_MAX, now=now)
        by_minute = (ceilings.requests_per_minute, ceilings.tokens_per_minute)
        self._free = by_minute == (None, None)
        """Whether there are no ceilings by the minute."""
        for kind, much in enumerate(by_minute):
            if much is not None:
                last = self._last[kind]
                level = math.inf if last is None else last.level(now)
                self._last[kind] = Bucket(much, now=now, level=level)
        self._requests, self._tokens = (
            None if much is None else last for much, last in zip(by_minute, self._last, strict=True)
        )

    def wait_s(self, *, now: float, tokens: float = 0.0) -> float:
        """Return after how many seconds a request may go; `math.inf` where one under way has to end first."""
        while self._resting and self._resting[0] <= now:
            heapq.heappop(self._resting)
        if self.concurrency.in_flight + len(self._resting) >= self.concurrency.limit:
            return self._resting[0] - now if self._resting else math.inf
        return self.rate_wait_s(now=now, tokens=tokens)

    @property
    def room(self) -> int:
        """Return how many requests, at least, may go now that one may."""
        return 1 if self.counts_tokens else self.concurrency.limit - self.concurrency.in_flight - len(self._resting)

    def rate_wait_s(self, *, now: float, tokens: float = 0.0) -> float:
        """Return the same for a request that goes however many are under way."""
        if self._free and now >= self._quiet_from:
            return 0.0
        wait_s = max(self.pause_s(now=now), *self._rate_waits(now, tokens))
        return wait_s if wait_s > WAIT_S_MIN else 0.0

    def pause_s(self, *, now: float) -> float:
        """Return how long nothing may go, because an answer said so; no longer than the longest pause."""
        return min(max(self._until - now, 0.0), PAUSE_MAX_S)

    def began(self, *, now: float, tokens: float = 0.0) -> None:
        """Hear that a request went out."""
        self.concurrency.began(now=now)
        if self._free and now >= self._quiet_from:
            return
        for amount, bucket, announced in zip(
            (1.0, tokens), (self._requests, self._tokens), self._announced, strict=True
        ):
            announced.take(amount, now=now)
            if bucket is not None:
                bucket.take(amount, now=now)

    def ended(self, answer: Response | None, *, now: float, seconds: float = 0.0, work: float = 0.0) -> None:
        """Hear how it ended: null where no answer came; `work` is what a good one brought."""
        refused = answer is not None and answer.status in OVERLOADED
        self.concurrency.ended(now=now, seconds=seconds, work=work, refused=refused)
        self._outcomes += 1
        weight = max(1 / self._outcomes, REFUSALS_WEIGHT_MIN)
        self._refused_share += weight * (refused - self._refused_share)

    @property
    def counts_tokens(self) -> bool:
        """Return whether it matters how many tokens a request takes."""
        return not self._free or self._quiet_from > -math.inf

    def correct(self, tokens: float, *, now: float) -> None:
        """Hear that a request took so many tokens more than was said, or fewer."""
        if self._tokens is not None:
            self._tokens.take(tokens, now=now)

    def hear(self, answer: Response, *, now: float, wall: float) -> float | None:
        """Take in what an answer says of limits, and return the wait that it asks for if it is a refusal.

        `wall` is `now` in seconds since 1970.
        """
        told = self.told = read_rate_limit(answer.headers, now=wall)
        if told is not None:
            resets = ((told.requests_remaining, told.requests_reset_s), (told.tokens_remaining, told.tokens_reset_s))
            for announced, (remaining, reset_s) in zip(self._announced, resets, strict=True):
                if reset_s is not None and reset_s <= PAUSE_MAX_S:
                    self._quiet_from = max(self._quiet_from, now + reset_s)
                    announced.hear(remaining, reset_s, now=now, under_way=self.concurrency.in_flight)
        if answer.status not in OVERLOADED:
            return None
        asked = asked_s(answer, wall=wall)
        wait_s = min(REST_S if asked is None else asked, PAUSE_MAX_S)
        if self._refused_share >= REFUSED_OFTEN:
            heapq.heappush(self._resting, now + wait_s)
        if self._refused_share >= REFUSED_MOSTLY and asked is not None:
            self._until = max(self._until, now + wait_s)
            self._quiet_from = max(self._quiet_from, self._until)
        return asked

    def _rate_waits(self, now: float, tokens: float) -> tuple[float, ...]:
        waits = [announced.wait_s(now=now) for announced in self._announced]
        if self._requests is not None:
            waits.append(self._requests.wait_s(1.0, now=now))
        if self._tokens is not None:
            waits.append(self._tokens.wait_s(tokens, now=now))
        return tuple(waits)


def asked_s(answer: Response, *, wall: float) -> float | None:
    """Return the wait that an answer asks for, by its headers or in its body; `wall` is in seconds since 1970."""
    by_header = retry_after_s(answer.headers, now=wall)
    return read_problem(answer.body).retry_after_s if by_header is None else by_header
