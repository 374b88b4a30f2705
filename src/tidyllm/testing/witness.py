"""The simulated model's record of what it received and answered, to compare with what a client claims."""

import threading
from collections.abc import Callable
from enum import Enum
from hashlib import blake2b

import msgspec

KEY_CHARS_MAX = 200
KEYS_MAX = 500_000
_OK = 200


def request_key(text: str) -> str:
    """Return the key under which requests are counted whose last user message, or embedding input, is `text`.

    A text of up to 200 characters is its own key; a longer one is cut, and ends in `#` and a hash of the whole.
    """
    if len(text) <= KEY_CHARS_MAX:
        return text
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{text[: KEY_CHARS_MAX - len(digest) - 1]}#{digest}"


class KeyCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How often the requests of one key came and were answered."""

    received: int
    answered: int
    """With whatever status, broken bodies included."""
    ok: int
    """Answered with 200 and a whole body."""


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What was served so far; `received = answered + abandoned + in_flight`."""

    received: int
    """Requests for a chat completion or for embeddings, readable or not."""
    answered: int
    """Answers written, with whatever status, broken bodies included."""
    abandoned: int
    """Requests whose connection ended before the answer: the client closed it, or the model reset it on purpose."""
    in_flight: int
    in_flight_peak: int
    working_peak: int
    """The most requests that were worked on at the same time, which a capacity bounds."""
    waiting_peak: int
    """The most requests that waited at the same time to be worked on, because they came beyond the capacity."""
    statuses: dict[int, int]
    """Answers by HTTP status."""
    broken: int
    """Answers, among those of status 200, whose body was broken on purpose: cut, no JSON, huge, or a bomb."""
    unkeyed: int
    """Received requests not counted by key: unreadable ones, and new keys after the first 500,000."""


class Stage(Enum):
    """How far a request has come."""

    RECEIVED = "received"
    WAITING = "waiting"
    """It came beyond the capacity, and its turn has not come."""
    WORKING = "working"


class Ticket:
    """One received request, until it is answered or abandoned."""

    __slots__ = ("key_counts", "stage", "tally")

    def __init__(self, tally: "_Tally", key_counts: list[int] | None) -> None:
        self.tally = tally
        self.key_counts = key_counts
        self.stage = Stage.RECEIVED


class Witness:
    """Counts of what a simulated model served; safe to read from any thread.

    Whoever has received an answer finds it counted here.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tally = _Tally()
        self._waiters: list[_Waiter] = []

    def counts(self) -> Counts:
        """Return the totals now."""
        with self._lock:
            return self._tally.counts()

    def keys(self) -> dict[str, KeyCounts]:
        """Return the counts of each request key, in the order in which the keys were first received."""
        with self._lock:
            copied = {key: tuple(counts) for key, counts in self._tally.keys.items()}
        return {key: KeyCounts(received=counts[0], answered=counts[1], ok=counts[2]) for key, counts in copied.items()}

    def wait(self, *, received: int = 0, answered: int = 0, timeout_s: float = 30.0) -> Counts:
        """Wait until so many requests were received and answered; raise TimeoutError after `timeout_s` seconds."""
        reached = threading.Event()
        forget = self.when(reached.set, received=received, answered=answered)
        if not reached.wait(timeout_s):
            forget()
            raise TimeoutError(f"After {timeout_s:g} s: {self.counts()}, not {received} received, {answered} answered.")
        return self.counts()

    def when(self, call: Callable[[], object], *, received: int = 0, answered: int = 0) -> Callable[[], None]:
        """Call, from whatever thread sees it, once so many requests came and were answered; return how to forget it."""
        waiter = _Waiter(received, answered, call)
        with self._lock:
            due = self._tally.reached(waiter)
            if not due:
                self._waiters.append(waiter)
        if due:
            call()
        return lambda: self._forget(waiter)

    def reset(self) -> None:
        """Forget all that was counted, and leave out of the new counts what is in flight now."""
        with self._lock:
            self._tally = _Tally()

    def note_received(self, key: str | None) -> Ticket:
        """Count a request; the ticket is handed in when it ends."""
        with self._lock:
            ticket = Ticket(self._tally, self._tally.receive(key))
        self._call_waiters()
        return ticket

    def note_stage(self, ticket: Ticket, stage: Stage) -> None:
        """Count a request among those that wait, or that are worked on."""
        with self._lock:
            ticket.tally.leave(ticket.stage)
            ticket.tally.enter(stage)
            ticket.stage = stage

    def note_answered(self, ticket: Ticket, status: int, *, broken: bool) -> None:
        """Count the answer of a request."""
        with self._lock:
            ticket.tally.leave(ticket.stage)
            ticket.tally.answer(ticket.key_counts, status, broken=broken)
        self._call_waiters()

    def note_abandoned(self, ticket: Ticket) -> None:
        """Count a request whose connection is gone."""
        with self._lock:
            ticket.tally.leave(ticket.stage)
            ticket.tally.abandoned += 1

    def _forget(self, waiter: "_Waiter") -> None:
        with self._lock:
            self._waiters = [other for other in self._waiters if other is not waiter]

    def _call_waiters(self) -> None:
        if not self._waiters:
            return
        with self._lock:
            due = [waiter for waiter in self._waiters if self._tally.reached(waiter)]
            self._waiters = [waiter for waiter in self._waiters if waiter not in due]
        for waiter in due:
            waiter.call()


class _Waiter:
    def __init__(self, received: int, answered: int, call: Callable[[], object]) -> None:
        self.received = received
        self.answered = answered
        self.call = call


class _Tally:
    """The counts between two resets."""

    def __init__(self) -> None:
        self.received = 0
        self.answered = 0
        self.abandoned = 0
        self.peak = 0
        self.working = 0
        self.working_peak = 0
        self.waiting = 0
        self.waiting_peak = 0
        self.broken = 0
        self.unkeyed = 0
        self.statuses: dict[int, int] = {}
        self.keys: dict[str, list[int]] = {}
        """Of each key: received, answered, answered well."""

    def receive(self, key: str | None) -> list[int] | None:
        self.received += 1
        self.peak = max(self.peak, self.received - self.answered - self.abandoned)
        counts = None if key is None else self.keys.get(key)
        if counts is None:
            if key is None or len(self.keys) >= KEYS_MAX:
                self.unkeyed += 1
                return None
            counts = self.keys[key] = [0, 0, 0]
        counts[0] += 1
        return counts

    def enter(self, stage: Stage) -> None:
        if stage is Stage.WORKING:
            self.working += 1
            self.working_peak = max(self.working_peak, self.working)
        elif stage is Stage.WAITING:
            self.waiting += 1
            self.waiting_peak = max(self.waiting_peak, self.waiting)

    def leave(self, stage: Stage) -> None:
        if stage is Stage.WORKING:
            self.working -= 1
        elif stage is Stage.WAITING:
            self.waiting -= 1

    def answer(self, key_counts: list[int] | None, status: int, *, broken: bool) -> None:
        self.answered += 1
        self.broken += broken
        self.statuses[status] = self.statuses.get(status, 0) + 1
        if key_counts is not None:
            key_counts[1] += 1
            key_counts[2] += status == _OK and not broken

    def reached(self, waiter: _Waiter) -> bool:
        return self.received >= waiter.received and self.answered >= waiter.answered

    def counts(self) -> Counts:
        return Counts(
            received=self.received,
            answered=self.answered,
            abandoned=self.abandoned,
            in_flight=self.received - self.answered - self.abandoned,
            in_flight_peak=self.peak,
            working_peak=self.working_peak,
            waiting_peak=self.waiting_peak,
            statuses=dict(sorted(self.statuses.items())),
            broken=self.broken,
            unkeyed=self.unkeyed,
        )
