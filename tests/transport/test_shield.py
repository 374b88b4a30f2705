"""An exchange that outlives the cancelling of the task that awaits it."""

import asyncio
from collections.abc import Coroutine

import pytest

from tidyllm.transport.shield import unbroken


async def after(turns: int, result: int) -> int:
    """Return `result` after so many turns of the loop, asked by a bare yield, which bears being asked again."""
    for _ in range(turns):
        await asyncio.sleep(0)
    return result


def refuse(_exchange: Coroutine[object, object, int]) -> None:
    pytest.fail("nothing was cancelled")


def test_result_passes_through() -> None:
    assert asyncio.run(unbroken_run(after(3, 7))) == 7


async def unbroken_run(exchange: Coroutine[object, object, int]) -> int:
    return await unbroken(exchange, refuse)


def test_exception_passes_through() -> None:
    async def fail() -> int:
        await asyncio.sleep(0)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        asyncio.run(unbroken_run(fail()))


def test_cancelled_exchange_is_handed_over_and_ends() -> None:
    async def main() -> int:
        kept: list[asyncio.Task[int]] = []

        async def wait() -> int:
            return await unbroken(after(5, 7), lambda rest: kept.append(asyncio.create_task(rest)))

        waiting = asyncio.create_task(wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return await kept[0]

    assert asyncio.run(main()) == 7
