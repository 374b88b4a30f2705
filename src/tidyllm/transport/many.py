"""Performs many calls at once: each goes out when the pace of its model lets it, and no failure costs the others."""

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import Generic, TypeVar

import msgspec

from tidyllm.core.wire import Call, Request
from tidyllm.transport.background import BACKGROUND
from tidyllm.transport.breather import Breather
from tidyllm.transport.drive import Course, Transport, body_bytes, gate_of
from tidyllm.transport.gate import Gate

T = TypeVar("T")

_LOG = logging.getLogger("tidyllm.transport")


class Begun(msgspec.Struct, Generic[T], frozen=True):
    """A call that has said what it sends first."""

    number: int
    """By which its caller knows it; each has its own."""
    call: Call[T]
    first: Request
    gate: Gate | None = None
    """Where the request waits for its turn, if its caller knows that."""


async def adrive_many(
    begun: AsyncIterable[Begun[T]], transport: Transport, *, ended: Callable[[int, T | Exception], object]
) -> None:
    """Perform calls as they come, each asked for as soon as it may go, and tell `ended` what became of each.

    When this is cancelled the calls are, as `adrive` has it. What `ended` raises ends the others and is raised here.
    """
    fleet: _Fleet[T] = _Fleet(msgspec.structs.replace(transport, bulk=True), ended=ended)
    await fleet.perform(begun)


class _Fleet(Generic[T]):
    """Calls that are on their way together."""

    def __init__(self, transport: Transport, *, ended: Callable[[int, T | Exception], object]) -> None:
        self._transport = transport
        self._ended = ended
        self._running: dict[int, tuple[asyncio.Task[None], Course[T]]] = {}
        # On the loop of somebody else nothing is held up.
        self._breather = Breather() if BACKGROUND.is_running_here else None
        self._all_begun = False
        self._failure: Exception | None = None
        self._over = asyncio.Event()
        """Set once all have ended, or something has failed that ends all."""

    async def perform(self, begun: AsyncIterable[Begun[T]]) -> None:
        """Do what `adrive_many` does."""
        beginning = asyncio.create_task(self._begin(begun))
        try:
            await self._over.wait()
        finally:
            await self._leave(beginning)
        if self._failure is not None:
            raise self._failure

    async def _begin(self, begun: AsyncIterable[Begun[T]]) -> None:
        try:
            async for one in begun:
                try:
                    gate = one.gate or gate_of(one.first, self._transport)
                    if gate is not None:
                        await gate.enter(self._transport.clock, body_bytes=body_bytes(one.first), bulk=True)
                except Exception as error:  # noqa: BLE001 - a key that cannot be found, as a rule
                    one.call.close()
                    self._ended(one.number, error)
                    continue
                except BaseException:
                    one.call.close()
                    raise
                course = Course(one.call, self._transport, first=one.first, entered=gate, held=True)
                self._running[one.number] = (asyncio.create_task(self._perform(one.number, course)), course)
        except Exception as error:  # noqa: BLE001 - raised by `perform`
            self._fail(error)
        self._all_begun = True
        self._look()

    async def _perform(self, number: int, course: Course[T]) -> None:
        try:
            try:
                result: T | Exception = await course.run()
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one call must not cost the others
                result = error
            if course.left_behind:
                _LOG.debug("A call that was cancelled came to its end: %s", type(result).__name__)
            else:
                self._ended(number, result)
        except Exception as error:  # noqa: BLE001 - raised by `perform`
            self._fail(error)
        finally:
            del self._running[number]
            self._look()
            if self._breather is not None:
                self._breather.answered()

    def _fail(self, failure: Exception) -> None:
        self._failure = self._failure or failure
        self._over.set()

    def _look(self) -> None:
        if self._all_begun and not self._running:
            self._over.set()

    async def _leave(self, beginning: asyncio.Task[None]) -> None:
        """End what still runs, but for requests under way whose answers their calls are to have."""
        ending = [beginning, *(task for task, course in self._running.values() if course.leave())]
        for task in ending:
            task.cancel()
        await asyncio.wait(ending)


def drive_all(calls: Iterable[Call[T]], transport: Transport) -> list[T | Exception]:
    """Return what `adrive_all` does, as `drive` does.

    KeyboardInterrupt has what had come until then in its attribute `results`, with None for what had not.
    """
    waiting = list(calls)
    results: dict[int, T | Exception] = {}
    try:
        BACKGROUND.run(_all(waiting, transport, results=results))
    except KeyboardInterrupt as stop:
        stop.results = [results.get(number) for number in range(len(waiting))]  # type: ignore[attr-defined]
        stop.add_note(f"{len(results)} of {len(waiting)} had ended: they are in the exception's `results`.")
        raise
    return [results[number] for number in range(len(waiting))]


async def adrive_all(calls: Iterable[Call[T]], transport: Transport) -> list[T | Exception]:
    """Return the results of the calls, in their order; a call that failed is its exception."""
    results: dict[int, T | Exception] = {}
    await _all(calls, transport, results=results)
    return [results[number] for number in range(len(results))]


async def _all(calls: Iterable[Call[T]], transport: Transport, *, results: dict[int, T | Exception]) -> None:
    """Fill `results` with what comes."""

    async def begin() -> AsyncIterator[Begun[T]]:
        for number, call in enumerate(calls):
            try:
                first = next(call)
            except Exception as error:  # noqa: BLE001 - a call may be wrong before it sends anything
                results[number] = error
            else:
                assert isinstance(first, Request)  # noqa: S101 - no dialect begins with a pause
                yield Begun(number, call, first)

    await adrive_many(begin(), transport, ended=results.__setitem__)
