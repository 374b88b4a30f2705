"""The limit that finds itself, against upstreams in simulated time."""

import heapq
import itertools
import math
import random
from collections import deque
from collections.abc import Callable

import pytest

from tidyllm.core.wire import Response
from tidyllm.transport.concurrency import LIMIT_FAST, LIMIT_FIRST, MARGIN, Concurrency
from tidyllm.transport.pace import NO_CEILINGS, Ceilings, LanePace

RTT_S = 0.0005


def fixed(seconds: float) -> Callable[[random.Random], float]:
    return lambda _: seconds


def lognormal(median: float, p99: float) -> Callable[[random.Random], float]:
    sigma = math.log(p99 / median) / 2.326
    return lambda rng: median * math.exp(rng.gauss(0, 1) * sigma)


class Run:
    """An upstream that works on so many requests at a time, and whoever keeps it busy, event by event."""

    def __init__(
        self,
        capacity: int,
        takes: Callable[[random.Random], float],
        *,
        refuses: bool = False,
        refused_anyway: float = 0.0,
        changes: tuple[tuple[float, int], ...] = (),
        ceilings: Ceilings = NO_CEILINGS,
    ) -> None:
        self.capacity = capacity
        self.takes = takes
        self.refuses = refuses
        """Whether what is beyond the capacity is refused; else it waits."""
        self.refused_anyway = refused_anyway
        self.pace = LanePace(now=0.0, ceilings=ceilings)
        self.done: list[float] = []
        self.refusals: list[float] = []
        self.waiting: list[tuple[float, int]] = []
        self.now = 0.0
        self._rng = random.Random(1)
        self._order = itertools.count()
        self._events: list[tuple[float, int, str, float]] = []
        self._working = 0
        self._queue: deque[float] = deque()
        for at, changed in changes:
            self._later(at - self.now, "change", changed)

    def until(self, end: float) -> "Run":
        """Let it go on until then."""
        self._later(0.0, "wake")
        while self._events and self.now < end:
            self.now, _, what, figure = heapq.heappop(self._events)
            self._happens(what, figure)
            while self._queue and self._working < self.capacity:
                self._work_on(self._queue.popleft())
            self._send()
            self.waiting.append((self.now, len(self._queue)))
        return self

    def goodput(self, since: float, until: float) -> float:
        return sum(since <= at < until for at in self.done) / (until - since)

    def _later(self, seconds: float, what: str, figure: float = 0.0) -> None:
        heapq.heappush(self._events, (self.now + seconds, next(self._order), what, figure))

    def _happens(self, what: str, figure: float) -> None:
        if what == "change":
            self.capacity = int(figure)
        elif what == "answer":
            self._working -= 1
            self.done.append(self.now)
            self.pace.ended(Response(status=200), now=self.now, seconds=self.now - figure, work=1.0)
        elif what == "refusal":
            self.refusals.append(self.now)
            self.pace.ended(Response(status=429), now=self.now)
            self.pace.hear(Response(status=429), now=self.now, wall=self.now)

    def _work_on(self, begun: float) -> None:
        self._working += 1
        self._later(self.takes(self._rng), "answer", begun)

    def _send(self) -> None:
        while (wait_s := self.pace.wait_s(now=self.now)) == 0:
            self.pace.began(now=self.now)
            if self._rng.random() < self.refused_anyway or (self.refuses and self._working >= self.capacity):
                self._later(RTT_S, "refusal")
            elif self._working < self.capacity:
                self._work_on(self.now)
            else:
                self._queue.append(self.now)
        if wait_s < math.inf:
            self._later(wait_s, "wake")


def mean_of(takes: Callable[[random.Random], float]) -> float:
    rng = random.Random(0)
    return sum(takes(rng) for _ in range(50_000)) / 50_000


UPSTREAMS = [
    (32, fixed(1.0), False, 60.0),
    (32, fixed(1.0), True, 60.0),
    (32, lognormal(1.0, 10.0), False, 300.0),
    (32, lognormal(1.0, 10.0), True, 300.0),
    (256, fixed(1.0), False, 60.0),
    (256, lognormal(1.0, 10.0), False, 100.0),
    (256, lognormal(1.0, 10.0), True, 100.0),
    (8, lognormal(20.0, 40.0), False, 2000.0),
]


@pytest.mark.parametrize(("capacity", "takes", "refuses", "settled_s"), UPSTREAMS)
def test_an_upstream_is_kept_busy_and_is_not_flooded(
    capacity: int, takes: Callable[[random.Random], float], settled_s: float, *, refuses: bool
) -> None:
    end = 3 * settled_s
    run = Run(capacity, takes, refuses=refuses).until(end)
    assert run.goodput(settled_s, end) >= 0.93 * capacity / mean_of(takes)
    assert max(waiting for at, waiting in run.waiting if at >= settled_s) <= max(2 * capacity, 2 * LIMIT_FIRST)
    assert sum(at >= settled_s for at in run.refusals) <= 0.15 * len(run.done)


@pytest.mark.parametrize("refuses", [False, True])
@pytest.mark.parametrize(("before", "after"), [(256, 128), (128, 256)])
def test_another_capacity_is_found_again(before: int, after: int, *, refuses: bool) -> None:
    run = Run(before, fixed(1.0), refuses=refuses, changes=((100.0, after),)).until(300.0)
    assert run.goodput(200.0, 300.0) >= 0.93 * after
    assert max(waiting for at, waiting in run.waiting if at >= 200.0) <= 2 * after


@pytest.mark.parametrize("seconds", [1.0, 0.01])
def test_refusals_that_have_nothing_to_do_with_the_load_cost_no_speed(seconds: float) -> None:
    run = Run(64, fixed(seconds), refused_anyway=0.05).until(100 * seconds + 5)
    assert run.goodput(50 * seconds, 100 * seconds + 5) >= 0.85 * 64 / seconds


def test_when_a_ceiling_that_held_is_lifted_the_search_begins_anew() -> None:
    concurrency = Concurrency(now=0.0)
    concurrency.cap(1, now=0.0)
    assert concurrency.limit == 1
    concurrency.cap(4096, now=1.0)
    assert concurrency.limit == LIMIT_FIRST
    assert concurrency.found is None
    concurrency.cap(100, now=1.0)
    concurrency.cap(4096, now=1.0)
    assert concurrency.limit == LIMIT_FIRST


@pytest.mark.parametrize("takes", [fixed(1.0), lognormal(1.0, 10.0)])
def test_a_ceiling_that_is_not_reached_does_not_slow_the_search(takes: Callable[[random.Random], float]) -> None:
    # It was set once the search had begun, which then began anew.
    free, below = (Run(256, takes, ceilings=ceilings) for ceilings in (NO_CEILINGS, Ceilings(concurrency=1024)))
    for second in range(1, 15):
        assert free.until(second).pace.concurrency.limit == below.until(second).pace.concurrency.limit


def test_a_fast_upstream_is_not_asked_for_more_than_it_needs() -> None:
    # What chance had once taken for a step that pays stayed for good, one upon the other.
    run = Run(64, lognormal(0.005, 0.02))
    run.pace.concurrency = Concurrency(now=0.0, learned=500.0)
    assert run.until(6.0).pace.concurrency.limit <= 2 * LIMIT_FAST
    assert run.goodput(2.0, 6.0) >= 0.97 * 64 / mean_of(run.takes)


def test_the_limit_stays_where_there_is_not_enough_to_send() -> None:
    concurrency = Concurrency(now=0.0)
    for second in range(1_000):
        for _ in range(4):
            concurrency.began(now=second)
        for _ in range(4):
            concurrency.ended(now=second + 0.5, seconds=0.5, work=1.0)
    assert (concurrency.limit, concurrency.found) == (LIMIT_FIRST, None)


def test_what_was_found_is_where_the_next_one_begins() -> None:
    run = Run(100, fixed(1.0)).until(120.0)
    found = run.pace.concurrency.found
    assert found is not None
    assert 90 <= found <= 150
    assert Concurrency(now=0.0, learned=found).limit == math.ceil(found * MARGIN)


def test_a_ceiling_holds_whatever_was_found() -> None:
    concurrency = Concurrency(now=0.0, learned=500.0, most=40)
    assert concurrency.limit == 40
    concurrency.cap(10, now=1.0)
    assert concurrency.limit == 10


def test_where_all_fails_less_and_less_is_asked() -> None:
    concurrency = Concurrency(now=0.0, learned=32.0)
    begin, at = concurrency.limit, 0.0
    for _ in range(30_000):
        while concurrency.in_flight < concurrency.limit:
            concurrency.began(now=at)
        at += 0.01
        concurrency.ended(now=at, seconds=0.3)
    assert concurrency.limit < begin / 2
