"""Performs many calls at once: each goes out when the pace of its model lets it, and no failure costs the others."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from typing import Generic, TypeVar

import msgspec

from tidyllm.core.wire import Call, Request
from tidyllm.transport.background import BACKGROUND
from tidyllm.transport.drive import Transport, adrive_from, body_bytes, gate_of
from tidyllm.transport.gate import Gate

T = TypeVar("T")


class Begun(msgspec.Struct, Generic[T], frozen=True):
    """A call that has said what it sends first."""

    number: int
    """By which its caller knows it; each has its own."""
    call: Call[T]
    first: Request


async def adrive_many(
    begun: AsyncIterable[Begun[T]], transport: Transport, *, ended: Callable[[int, T | Exception], object]
) -> None:
    """Perform calls as they come, each asked for as soon as it may go, and tell `ended` what became of each.

    When this is cancelled the calls are, as `adrive` has it. What `ended` raises ends the others and is raised here.
    """
    transport = msgspec.structs.replace(transport, bulk=True)
    unbegun: dict[int, Gate] = {}
    """Let in, and not on their way yet: if they are cancelled, nobody else leaves their gate."""

    async def perform(one: Begun[T], gate: Gate | None) -> None:
        unbegun.pop(one.number, None)
        try:
            result: T | Exception = await adrive_from(one.call, transport, first=one.first, gate=gate)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one call must not cost the others
            result = error
        ended(one.number, result)

    try:
        async with asyncio.TaskGroup() as tasks:
            async for one in begun:
                try:
                    gate = await _let_in(one, transport)
                except Exception as error:  # noqa: BLE001 - a key that cannot be found, as a rule
                    ended(one.number, error)
                    continue
                if gate is not None:
                    unbegun[one.number] = gate
                tasks.create_task(perform(one, gate))
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
    finally:
        for gate in unbegun.values():
            gate.leave(None, transport.clock)


async def _let_in(one: Begun[T], transport: Transport) -> Gate | None:
    """Return the gate that has let a call in; it is to be left."""
    try:
        gate = gate_of(one.first, transport)
        if gate is not None:
            await gate.enter(transport.clock, body_bytes=body_bytes(one.first), bulk=True)
    except BaseException:
        one.call.close()
        raise
    return gate


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
