"""Whether an upstream can be asked: what its failures say of it, and how it is tried again.

    well ──> down      connections are refused, or most of what it answers are failures
      │  └─> paused    it refuses the key, or knows nothing of what it is asked: somebody has to look
      ^        │
      └────────┘       a request that was let through, one after the other, was answered

While it is not well no line loses an attempt: what fails then is nobody's fault but its own.
"""

from collections import deque
from enum import Enum

WINDOW = 20
"""First attempts of lines that are looked at together."""
WINDOW_MIN = 10
MOSTLY = 0.7
"""With this share of them failing, it is the upstream's fault."""
PROBE_FIRST_S = 0.5
PROBE_MAX_S = 30.0
"""Between two requests that are let through while it is down; doubles from the first one on."""
PAUSED_PROBE_S = 60.0
PROBE_PATIENCE_S = 60.0
"""A request that was let through and has no answer after that time may never get one: another one is."""
UNASKED_S = 60.0
"""What may be asked and is not for so long, nobody wants to know."""
OUTAGE_MAX_S = 3 * 3600.0
"""After so long failing answers count as the lines' own: it may be what they ask for that it cannot bear."""


class State(str, Enum):
    """How an upstream is."""

    WELL = "well"
    DOWN = "down"
    PAUSED = "paused"


class Health:
    """One upstream's, or that of one of its models; `now` is of one monotonic clock, in seconds."""

    def __init__(self) -> None:
        self.state = State.WELL
        self.reason: str | None = None
        """Why it is not well, as the end of a sentence."""
        self._since = 0.0
        self._failing: deque[bool] = deque(maxlen=WINDOW)
        self._probe_at = 0.0
        self._probe_delay_s = PROBE_FIRST_S
        self._probing = False

    def wait_s(self, *, now: float) -> float:
        """Return after how many seconds a request may go: one at a time, as long as that one is answered."""
        return 0.0 if self.state is State.WELL else max(self._probe_at - now, 0.0)

    def is_unasked(self, *, now: float) -> bool:
        """Return whether it is not well only as far as is known: nobody has asked, though they could."""
        return self.state is not State.WELL and now > self._probe_at + UNASKED_S

    def began(self, *, now: float) -> bool:
        """Hear that a request goes out, and return whether it is one that finds out how it is."""
        if self.state is State.WELL:
            return False
        self._probing = True
        self._probe_at = now + PROBE_PATIENCE_S
        return True

    def answered(self) -> None:
        """Hear that it has answered as an upstream that is well does."""
        self._failing.append(False)
        if self.state is not State.WELL:
            self._failing.clear()
            self.state, self.reason, self._probing = State.WELL, None, False
            self._probe_delay_s = PROBE_FIRST_S

    def failed(self, reason: str, *, first: bool, now: float) -> bool:
        """Hear that a request failed, its line's first or a later one; return whether that is the upstream's fault."""
        if first:
            self._failing.append(True)
        failing = sum(self._failing)
        if self.state is State.WELL and failing >= WINDOW_MIN and failing >= MOSTLY * len(self._failing):
            self.fell(State.DOWN, reason, now=now)
        return self.state is not State.WELL and now < self._since + OUTAGE_MAX_S

    def fell(self, state: State, reason: str, *, now: float) -> None:
        """Hear that it is not well."""
        if self.state is State.WELL:
            self._since = now
        self.state, self.reason = state, reason
        if not self._probing:
            self._probe_at = now + (PAUSED_PROBE_S if state is State.PAUSED else self._probe_delay_s)

    def try_at(self, now: float) -> None:
        """Let a request find out how it is from that time on."""
        self._probe_at = min(self._probe_at, now)

    def probed(self, *, now: float) -> None:
        """Hear that the request that was to find out has ended, whatever it found."""
        self._probing = False
        if self.state is State.PAUSED:
            self._probe_at = now + PAUSED_PROBE_S
        elif self.state is State.DOWN:
            self._probe_at = now + self._probe_delay_s
            self._probe_delay_s = min(2 * self._probe_delay_s, PROBE_MAX_S)
