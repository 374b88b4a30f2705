"""How many requests are in flight at once: found by what gets done, not configured.

The measure is goodput: the work of good answers a second. While it grows with the limit, the limit is too low. Where it
no longer does, more requests only wait at the other end, whether that refuses them or queues them in silence.

* *rise*: the limit doubles, round after round, until goodput stops to follow.
* *steady*: now and then a step up or down is tried for a while. It is kept where it pays: upwards if goodput follows,
  downwards if goodput stays. A step that did not pay is tried again later and later, as a trial costs something.

Little's law is the reason that goodput is enough: with so many in flight, it says the same as latency does.
"""

import math
from enum import Enum

LIMIT_FIRST = 16
LIMIT_MAX = 4096
"""Beyond it connections and memory become the question, not the upstream."""
FAST_S = 0.05
LIMIT_FAST = 128
"""Least for an upstream that answers faster than that: there nobody waits for long, and few at once cost us time."""
STEP = 1.25
MARGIN = 1.1
"""Above what was found: enough that whoever answers never waits for us. Where refusals say how far to go, none."""
RISE_WINDOWS_MIN = 3
RISE_GAIN = 1.8
"""What two doublings must bring; a fourfold limit brings four times as much where there is room."""
KNEE = 0.8
"""A limit of the rise with this share of the best goodput is where to begin the search."""
GAIN_UP = 0.25
"""Share of a step upwards that must arrive as goodput."""
LOSS_DOWN = 0.2
"""Share of a step downwards that may be lost as goodput."""
DROP = 0.8
"""With less than this share of what was there before, the upstream is another, and a step down is tried at once."""
SETTLE_ROUNDS = 1.5
"""Rounds after a step that say nothing yet: what is in flight was sent before, or short answers come first."""
RISE_SETTLE_ROUNDS = 1.0
WINDOW_ROUNDS = 2
WINDOW_S_MIN = 0.25
RISE_WINDOW_S_MIN = 0.05
ANSWERS = 200
"""Answers in a window, for each unit of spread of their durations and work: the error of its goodput is then 7 %."""
RISE_ANSWERS = 64
SURE = 2.0
"""A trial goes on until its outcome is so many standard errors away from what decides it."""
TRIAL_WINDOWS_MAX = 10
SPREAD_MAX = 4.0
SPREAD_EVERY = 4
"""One answer in so many tells how they are spread."""
FULL = 0.85
"""A window in which fewer than this share of the limit were in flight says nothing: there was not enough to send."""
REFUSED_SOME = 0.02
"""With more refusals than this share, they say how far to go, and there is no margin."""
REFUSED_MOST = 0.3
"""With more, the rise is over."""
PATIENCE_FIRST = 4
"""Windows before a step is tried again; doubled each time that it does not pay."""
PATIENCE_MAX = 64
WINDOWS_KEPT = 16
"""How many windows make up the goodput that a trial is compared with."""


class Way(Enum):
    """Where a trial goes."""

    DOWN = "down"
    UP = "up"


class _Mean:
    """The goodput of the last windows at one limit."""

    def __init__(self) -> None:
        self.value = 0.0
        self.windows = 0
        self.answers = 0.0

    def add(self, window: "_Window") -> None:
        self.windows = min(self.windows + 1, WINDOWS_KEPT)
        self.value += (window.goodput - self.value) / self.windows
        self.answers += (window.outcomes * self.windows - self.answers) / self.windows


class _Trial:
    def __init__(self, way: Way, *, before: float) -> None:
        self.way = way
        self.before = before
        """The limit that holds if it does not pay."""
        self.mean = _Mean()


class _Window:
    """What is counted between two moments."""

    def __init__(self, now: float, *, in_flight: int, settle: float) -> None:
        self.settle = settle
        """Ended requests that are not counted yet."""
        self.began = self._at = now
        self.outcomes = self._refused = self._good = 0
        self._work = self._took = self._area = 0.0
        self._in_flight = in_flight

    def move(self, now: float, in_flight: int) -> None:
        """Hear that from now on so many are in flight."""
        self._area += self._in_flight * (now - self._at)
        self._at, self._in_flight = now, in_flight

    @property
    def seconds(self) -> float:
        return self._at - self.began

    @property
    def in_flight_mean(self) -> float:
        return self._area / self.seconds if self.seconds else 0.0

    def count(self, work: float, *, seconds: float, refused: bool) -> None:
        """Count a request that has ended."""
        self.outcomes += 1
        self._refused += refused
        if work:
            self._good += 1
            self._work += work
            self._took += seconds

    @property
    def goodput(self) -> float:
        """Return the work of a second, by Little's law: answers that come in bursts, as at first, blur a mere count."""
        if not self._took:
            return 0.0
        share = self._good / (self.outcomes - self._refused)
        return share * self.in_flight_mean * self._work / self._took

    @property
    def refused_share(self) -> float:
        return self._refused / self.outcomes


class Spread:
    """The mean of some figures of late, and how far they are spread around it."""

    _WEIGHT_MIN = 0.02
    _ENOUGH = 8

    def __init__(self) -> None:
        self._count = 0
        self.mean = 0.0
        self._square = 0.0

    def add(self, figure: float) -> None:
        """Take in a figure."""
        self._count += 1
        weight = max(1 / self._count, self._WEIGHT_MIN)
        self.mean += weight * (figure - self.mean)
        self._square += weight * (figure * figure - self._square)

    @property
    def relative(self) -> float:
        """Return the variance over the squared mean; 1 while little is known."""
        if self._count < self._ENOUGH or not self.mean:
            return 1.0
        return min(max(self._square / self.mean**2 - 1, 0.0), SPREAD_MAX)


class Concurrency:
    """A limit that finds itself; `now` is always of one monotonic clock, in seconds."""

    def __init__(self, *, now: float, learned: float | None = None, most: int = LIMIT_MAX) -> None:
        self.in_flight = 0
        self._limit = 0
        self.seconds = Spread()
        """How long good answers took."""
        self._works = Spread()
        self._most = most
        self._rise: list[tuple[float, float]] | None = [] if learned is None else None
        """The limits of the rise and the goodput they brought; None when it is over."""
        self._held = _Mean()
        """Of the limit that holds."""
        self._trial: _Trial | None = None
        self._patience = dict.fromkeys(Way, PATIENCE_FIRST)
        self._waited = {Way.DOWN: 0, Way.UP: 0}
        self._refused = False
        """Whether refusals say how far to go."""
        self._set(LIMIT_FIRST if learned is None else learned, now=now, settle=RISE_SETTLE_ROUNDS)

    @property
    def found(self) -> float | None:
        """Return what to begin with the next time; none while that is not known."""
        if self._rise is not None:
            return None
        return self._found if self._trial is None else self._trial.before

    @property
    def limit(self) -> int:
        """Return how many requests may be in flight."""
        return self._limit

    def takes(self, *, within_s: float) -> float:
        """Return how many requests may be sent within that time: those in flight, again each time they are answered."""
        return self._limit * max(within_s / self.seconds.mean, 1.0) if self.seconds.mean else self._limit

    def began(self, *, now: float) -> None:
        """Hear that a request is in flight."""
        self.in_flight += 1
        self._window.move(now, self.in_flight)

    def ended(self, *, now: float, seconds: float = 0.0, work: float = 0.0, refused: bool = False) -> None:
        """Hear that one no longer is: how long it took, and what it brought, which is nothing if it failed."""
        self.in_flight -= 1
        window = self._window
        window.move(now, self.in_flight)
        if work and not window.outcomes % SPREAD_EVERY:
            self.seconds.add(seconds)
            self._works.add(work)
        if window.settle > 0:
            window.outcomes += 1
            window.settle -= not refused
            if window.settle <= 0:
                self._open(now)
            return
        window.count(work, seconds=seconds, refused=refused)
        if window.outcomes >= self._rounds and window.seconds >= self._seconds_min and window.outcomes >= self._enough:
            self._judge(window, now=now)

    def cap(self, most: int, *, now: float) -> None:
        """Never let more be in flight than that, from now on."""
        if most == self._most:
            return
        found = self._found
        if found >= self._most < most:
            # It was the ceiling that held, of which nothing is known beyond: the search begins anew.
            found, self._rise, self._trial = max(found, LIMIT_FIRST), [], None
        self._most = most
        self._set(found, now=now)

    @property
    def _enough(self) -> float:
        """Return how many answers a window needs, besides so many rounds."""
        return (ANSWERS if self._rise is None else RISE_ANSWERS) * self._spread

    @property
    def _least(self) -> float:
        return LIMIT_FAST if 0 < self.seconds.mean < FAST_S and not self._refused else 1.0

    @property
    def _spread(self) -> float:
        return self.seconds.relative + self._works.relative

    @property
    def _seconds_min(self) -> float:
        return WINDOW_S_MIN if self._rise is None else RISE_WINDOW_S_MIN

    def _open(self, now: float, *, settle: float = 0.0) -> None:
        self._window = _Window(now, in_flight=self.in_flight, settle=settle)

    def _set(self, found: float, *, now: float, settle: float = SETTLE_ROUNDS) -> None:
        """Let another limit hold from now on."""
        was = self._limit
        self._found = min(max(found, self._least), float(self._most))
        margin = 1.0 if self._refused or self._rise is not None else MARGIN
        self._limit = min(math.ceil(self._found * margin), self._most)
        self._rounds = self._limit * (WINDOW_ROUNDS if self._rise is None else 1)
        self._open(now, settle=settle * max(was, self._limit))

    def _judge(self, window: _Window, *, now: float) -> None:
        """Draw the conclusion of a window."""
        held_back = window.refused_share > REFUSED_SOME
        taken = round(window.in_flight_mean)
        if held_back and taken < self._limit and self._rise is None and self._trial is None:
            self._refused = True
            self._set(taken, now=now)
        elif not held_back and window.in_flight_mean < FULL * self._limit:
            # There was not enough to send: this says nothing of the limit.
            if self._trial is not None:
                self._give_up(self._trial, now=now)
            else:
                self._open(now)
        elif self._rise is not None:
            self._go_on_rising(self._rise, window, now=now)
        elif self._trial is not None:
            self._judge_trial(self._trial, window, now=now)
        else:
            self._compare(window)
            self._try_another(now=now)

    def _go_on_rising(self, rise: list[tuple[float, float]], window: _Window, *, now: float) -> None:
        rise.append((self._found, window.goodput))
        follows = len(rise) < RISE_WINDOWS_MIN or window.goodput >= RISE_GAIN * rise[-RISE_WINDOWS_MIN][1]
        if follows and window.refused_share < REFUSED_MOST and self._found < self._most:
            self._set(2 * self._found, now=now, settle=RISE_SETTLE_ROUNDS)
            return
        best = max(goodput for _, goodput in rise)
        knee = next(limit for limit, goodput in rise if goodput >= KNEE * best)
        self._rise = None
        self._set(min(self._found, knee * STEP), now=now)

    def _compare(self, window: _Window) -> None:
        """Take a window into the goodput of the limit that holds; where much is gone, what was known is no longer."""
        if window.goodput < DROP * self._held.value:
            self._held = _Mean()
            self._patience[Way.DOWN] = 1
        self._held.add(window)
        for way in Way:
            self._waited[way] += 1

    def _try_another(self, *, now: float) -> None:
        for way, other in (
            (Way.DOWN, min(self._found / STEP, self._found - 1)),
            (Way.UP, max(self._found * STEP, self._found + 1)),
        ):
            if way is Way.DOWN and self._refused:
                continue  # Refusals would say if this were too much.
            if self._waited[way] >= self._patience[way] and self._least <= other <= self._most:
                self._trial = _Trial(way, before=self._found)
                self._set(other, now=now)
                return
        self._open(now)

    def _judge_trial(self, trial: _Trial, window: _Window, *, now: float) -> None:
        trial.mean.add(window)
        step = self._found / trial.before - 1
        needed = step * (GAIN_UP if trial.way is Way.UP else LOSS_DOWN)
        gain = trial.mean.value / self._held.value - 1 if self._held.value else 0.0
        error = math.sqrt(self._spread * (1 / trial.mean.answers + 1 / self._held.answers))
        if abs(gain - needed) < SURE * error and trial.mean.windows < TRIAL_WINDOWS_MAX:
            self._open(now)
            return
        if gain < needed:
            self._give_up(trial, now=now)
            return
        self._trial = None
        self._waited = dict.fromkeys(Way, 0)
        self._patience = dict.fromkeys(Way, PATIENCE_FIRST) | {trial.way: 1}
        if trial.way is Way.UP:
            self._held = trial.mean
            self._refused = False
        self._open(now)

    def _give_up(self, trial: _Trial, *, now: float) -> None:
        """Go back to where a trial began, and try that way later and later."""
        self._trial = None
        self._waited[trial.way] = 0
        self._patience[trial.way] = min(max(2 * self._patience[trial.way], PATIENCE_FIRST), PATIENCE_MAX)
        self._set(trial.before, now=now)
