"""Performs calls: sends what they yield and hands them the answers; where sync meets async."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from random import random
from typing import Generic, Protocol, TypeVar

import msgspec

from tidyllm.core.clock import Clock, SystemClock
from tidyllm.core.errors import TransportError
from tidyllm.core.wire import SLEPT, Call, Decoder, Request, Response, Sleep
from tidyllm.transport.background import BACKGROUND
from tidyllm.transport.gate import Gate, Pace
from tidyllm.transport.keys import Keys
from tidyllm.transport.retry import RetryPolicy, delay_s, should_retry

T = TypeVar("T")

_LOG = logging.getLogger("tidyllm.transport")


class Sender(Protocol):
    """What sends one request, once."""

    async def send(self, request: Request, headers: tuple[tuple[str, str], ...] = ()) -> Response:
        """Return the answer, whatever its status; `TransportError` where none arrives. `headers` carry the key."""
        ...


class Watcher(Protocol):
    """Who watches an answer while it comes, from whichever thread."""

    @property
    def wanted(self) -> bool:
        """Return whether anybody still watches; when nobody does, the exchange ends with the next bytes."""
        ...

    def see(self, piece: str) -> None:
        """Take a piece of the answer."""
        ...


class Transport(msgspec.Struct, frozen=True, kw_only=True):
    """All that a call needs to be performed."""

    sender: Sender
    keys: Keys = msgspec.field(default_factory=Keys)
    retry: RetryPolicy = RetryPolicy()
    clock: Clock = msgspec.field(default_factory=SystemClock)
    random: Callable[[], float] = random
    """For jitter: numbers from 0 to 1."""
    pace: Pace = msgspec.field(default_factory=Pace)
    """What is known of the limits of those who are asked."""
    watcher: Watcher | None = None
    """Shown the pieces of a streamed answer as they come."""
    bulk: bool = False
    """Whether its requests are some of many, which take their turns; see `Gate.enter`."""
    lets_go: bool = False
    """Whether a request is broken off when its call is cancelled: for calls that would save nothing of the answer."""


def drive(call: Call[T], transport: Transport) -> T:
    """Return the call's result, from any thread, in a script, a notebook or inside a running loop.

    Ctrl-C ends the wait at once. The request that is under way is not broken off, and the call still gets its answer.
    """
    return BACKGROUND.run(adrive(call, transport))


async def adrive(call: Call[T], transport: Transport) -> T:
    """Return the call's result; raise what it raises.

    A `TransportError` is thrown into the call where it waits for that answer, so that it may heal. When the awaiting
    task is cancelled, the request under way is sent to its end and the call is given the answer, to save it; whatever
    it asks for after that is not done. Where the key is missing, `MissingKeyError` is raised and nothing is sent.
    """
    return await Course(call, transport).run()


class Course(Generic[T]):
    """One call on its way; knows whether the call is still needed when the driver leaves it."""

    def __init__(
        self,
        call: Call[T],
        transport: Transport,
        *,
        first: Request | None = None,
        entered: Gate | None = None,
        held: bool = False,
    ) -> None:
        self._call = call
        self._transport = transport
        self._first = first
        """What the call was heard to ask for already."""
        self._entered = entered
        """The gate that has let the next request in already."""
        self._held = held
        """Whether its task is not cancelled while a request is under way, but told by `leave`."""
        self._started = False
        self._sending = False
        self.left_behind = False
        """Whether nobody waits for it any more, but the call still gets the answer that is under way."""
        self._shown = False
        """Whether pieces of an answer were passed on, so that there can be no second try."""
        self._decoder: Decoder | None = None
        """What reads the streamed answer of this attempt."""

    async def run(self) -> T:
        """Return the call's result; raise what it raises."""
        self._started = True
        call = self._call
        try:
            wanted = next(call) if self._first is None else self._first
            while True:
                if isinstance(wanted, Sleep):
                    await self._transport.clock.sleep(wanted.seconds)
                    wanted = call.send(SLEPT)
                else:
                    wanted = _resume(call, await self._exchange(wanted))
                if self.left_behind:
                    raise asyncio.CancelledError
        except StopIteration as end:
            result: T = end.value
            return result
        finally:
            if self._held or not self.left_behind:
                call.close()

    def leave(self) -> bool:
        """Want no more of a call whose task is held, and return whether its task is to be cancelled.

        It is not where a request is under way whose answer the call may save.
        """
        if not self._started:
            self._call.close()
            if self._entered is not None:
                self._entered.leave(None, self._transport.clock)
        self.left_behind = self._sending and not self._transport.lets_go
        return not self.left_behind

    async def _exchange(self, request: Request) -> Response | TransportError:
        """Return the answer to keep: the first one, or the one after as many attempts as are allowed."""
        transport = self._transport
        attempt = 1
        while True:
            gate, self._entered = self._entered, None
            if gate is None and (gate := gate_of(request, transport)) is not None:
                await gate.enter(transport.clock, body_bytes=body_bytes(request), bulk=transport.bulk)
            outcome: Response | TransportError
            began = transport.clock.monotonic()
            try:
                outcome = await self._attempt(request, gate)
            except TransportError as error:
                error.seconds = transport.clock.monotonic() - began
                outcome = error
            if attempt > 1:
                outcome = _after(outcome, attempts=attempt)
            if not self._may_repeat or not should_retry(request, outcome, told=self._problem):
                return outcome
            wait_s = delay_s(
                transport.retry, outcome, attempt=attempt, now=transport.clock.now(), random=transport.random
            )
            if wait_s is None:
                return outcome
            _LOG.info("%s; attempt %d follows in %.1f s.", _told(outcome), attempt + 1, wait_s)
            await transport.clock.sleep(wait_s)
            attempt += 1

    @property
    def _may_repeat(self) -> bool:
        watcher = self._transport.watcher
        return not self._shown and not self.left_behind and (watcher is None or watcher.wanted)

    @property
    def _problem(self) -> bytes | None:
        return None if self._decoder is None else self._decoder.problem

    def _attempt(self, request: Request, gate: Gate | None) -> Coroutine[object, object, Response]:
        """Return what sends a request that the gate has let in, and waits for the answer."""
        transport = self._transport
        try:
            headers = transport.keys.sign(request.signature)
        except BaseException:
            if gate is not None:
                gate.leave(None, transport.clock)
            raise
        if unshielded := self._held or transport.lets_go:
            request = msgspec.structs.replace(request, lets_go=True)
        if request.decoder is not None:
            self._decoder = request.decoder()
            request = msgspec.structs.replace(request, receive=self._receiver(self._decoder))
        answering = self._answer(request, headers, gate=gate)
        return answering if unshielded else self._unbroken(answering)

    async def _answer(self, request: Request, headers: tuple[tuple[str, str], ...], *, gate: Gate | None) -> Response:
        """Return the answer of one request, and leave its gate."""
        answer: Response | None = None
        self._sending = True
        try:
            answer = await self._transport.sender.send(request, headers)
        finally:
            self._sending = False
            if gate is not None:
                gate.leave(answer, self._transport.clock, seconds=0.0 if answer is None else answer.seconds)
        return answer

    async def _unbroken(self, answering: Coroutine[object, object, Response]) -> Response:
        """Return the answer; if this is cancelled, the call gets it all the same."""
        task = asyncio.ensure_future(answering)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self.left_behind = True
            task.add_done_callback(self._conclude)
            raise

    def _receiver(self, decoder: Decoder) -> Callable[[bytes], bool]:
        watcher = self._transport.watcher

        def receive(data: bytes) -> bool:
            for piece in decoder.feed(data):
                if watcher is not None:
                    self._shown = True
                    watcher.see(piece)
            return not decoder.ended and (watcher is None or watcher.wanted)

        return receive

    def _conclude(self, sending: asyncio.Future[Response]) -> None:
        """Give the call the answer that nobody waits for any more: it was paid for, and the call may save it."""
        try:
            if not sending.cancelled():
                error = sending.exception()
                _resume(self._call, sending.result() if error is None else error)
        except StopIteration:
            _LOG.debug("A call that was cancelled came to its end.")
        except Exception as error:  # noqa: BLE001 - its caller is gone; the log is all that is left
            _LOG.debug("A call that was cancelled failed: %s", error)
        finally:
            self._call.close()


def gate_of(request: Request, transport: Transport) -> Gate | None:
    """Return where a request waits for its turn; nowhere where it counts against no limits."""
    if request.lane is None:
        return None
    key = transport.keys.told_apart(request.signature)
    return transport.pace.gate(request.lane, key=key, clock=transport.clock)


def body_bytes(request: Request) -> int:
    """Return how long the body of a request is, where that is known at once; an image in it counts as a short text."""
    if request.counts_as is not None:
        return request.counts_as
    return len(request.body) if isinstance(request.body, bytes) else 0


def _after(outcome: Response | TransportError, *, attempts: int) -> Response | TransportError:
    """Return what came of a request that was sent so often."""
    if isinstance(outcome, Response):
        return msgspec.structs.replace(outcome, attempts=attempts)
    outcome.attempts = attempts
    return outcome


def _resume(call: Call[T], outcome: Response | BaseException) -> Request | Sleep:
    if isinstance(outcome, Response):
        return call.send(outcome)
    return call.throw(outcome)


def _told(outcome: Response | TransportError) -> str:
    return f"The answer was {outcome.status}" if isinstance(outcome, Response) else str(outcome)
