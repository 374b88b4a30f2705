"""Performs calls: sends what they yield and hands them the answers; where sync meets async."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from random import random
from typing import Protocol, TypeVar

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
    return await adrive_from(call, transport, first=None, gate=None)


async def adrive_from(call: Call[T], transport: Transport, *, first: Request | None, gate: Gate | None) -> T:
    """Do what `adrive` does, of a call whose first request was taken already, and let in by its gate if it has one."""
    course = _Course(call, transport, entered=gate)
    try:
        wanted = next(call) if first is None else first
        while True:
            if isinstance(wanted, Sleep):
                await transport.clock.sleep(wanted.seconds)
                wanted = call.send(SLEPT)
            else:
                wanted = _resume(call, await course.exchange(wanted))
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        course.end()


class _Course:
    """One call on its way; knows whether the call is still needed when the driver leaves it."""

    def __init__(self, call: Call[T], transport: Transport, *, entered: Gate | None) -> None:
        self._call = call
        self._transport = transport
        self._entered = entered
        """The gate that has let the next request in already."""
        self._left_behind = False
        self._shown = False
        """Whether pieces of an answer were passed on, so that there can be no second try."""
        self._decoder: Decoder | None = None
        """What reads the streamed answer of this attempt."""

    def end(self) -> None:
        if not self._left_behind:
            self._call.close()

    async def exchange(self, request: Request) -> Response | TransportError:
        """Return the answer to keep: the first one, or the one after as many attempts as are allowed."""
        transport = self._transport
        attempt = 1
        while True:
            outcome = await self._attempt(request, await self._gate(request))
            if attempt > 1 and isinstance(outcome, Response):
                outcome = msgspec.structs.replace(outcome, attempts=attempt)
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
        return not self._shown and (watcher is None or watcher.wanted)

    @property
    def _problem(self) -> bytes | None:
        return None if self._decoder is None else self._decoder.problem

    async def _gate(self, request: Request) -> Gate | None:
        """Return the gate that has let the request in; it is to be left."""
        gate, self._entered = self._entered, None
        if gate is None and (gate := gate_of(request, self._transport)) is not None:
            await gate.enter(self._transport.clock, body_bytes=body_bytes(request), bulk=self._transport.bulk)
        return gate

    async def _attempt(self, request: Request, gate: Gate | None) -> Response | TransportError:
        transport = self._transport
        try:
            headers = transport.keys.sign(request.signature)
        except BaseException:
            if gate is not None:
                gate.leave(None, transport.clock)
            raise
        request = msgspec.structs.replace(request, lets_go=self._transport.lets_go)
        if request.decoder is not None:
            self._decoder = request.decoder()
            request = msgspec.structs.replace(request, receive=self._receiver(self._decoder))
        sending = asyncio.ensure_future(self._transport.sender.send(request, headers))
        if gate is not None:
            sending.add_done_callback(partial(_leave, gate=gate, clock=transport.clock))
        try:
            return await asyncio.shield(sending)
        except TransportError as error:
            return error
        except asyncio.CancelledError:
            if self._transport.lets_go:
                sending.cancel()
            else:
                self._left_behind = True
                sending.add_done_callback(self._conclude)
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


def _leave(sending: asyncio.Future[Response], *, gate: Gate, clock: Clock) -> None:
    answer = None if sending.cancelled() or sending.exception() is not None else sending.result()
    gate.leave(answer, clock, seconds=0.0 if answer is None else answer.seconds)


def _resume(call: Call[T], outcome: Response | BaseException) -> Request | Sleep:
    if isinstance(outcome, Response):
        return call.send(outcome)
    return call.throw(outcome)


def _told(outcome: Response | TransportError) -> str:
    return f"The answer was {outcome.status}" if isinstance(outcome, Response) else str(outcome)
