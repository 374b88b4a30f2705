import asyncio
import threading

import pytest

from tidyllm.core.clock import Clock
from tidyllm.core.errors import SettingError
from tidyllm.testing import ManualClock


def test_time_passes_only_when_it_is_advanced() -> None:
    clock: Clock = ManualClock(1000.0)
    assert (clock.now(), clock.monotonic()) == (1000.0, 0.0)
    assert isinstance(clock, ManualClock)
    clock.advance(2.5)
    assert (clock.now(), clock.monotonic()) == (1002.5, 2.5)


def test_sleepers_wake_in_the_order_of_their_moments() -> None:
    async def play() -> list[str]:
        clock = ManualClock()
        woken: list[str] = []

        async def sleep(name: str, seconds: float) -> None:
            await clock.sleep(seconds)
            woken.append(name)

        wishes = [("late", 3.0), ("early", 1.0), ("middle", 2.0), ("as early", 1.0), ("later", 4.0)]
        tasks = [asyncio.create_task(sleep(*wish)) for wish in wishes]
        await asyncio.to_thread(clock.wait_for_sleepers, 5)
        clock.advance(3)
        await asyncio.gather(*tasks[:4])
        assert not tasks[4].done()
        clock.advance(1)
        await tasks[4]
        return woken

    assert asyncio.run(play()) == ["early", "as early", "middle", "late", "later"]


def test_ten_steps_of_a_tenth_are_one_second() -> None:
    async def play() -> None:
        clock = ManualClock()
        task = asyncio.create_task(clock.sleep(1))
        await asyncio.to_thread(clock.wait_for_sleepers, 1)
        for _ in range(10):
            clock.advance(0.1)
        await asyncio.wait_for(task, 10)

    asyncio.run(play())


def test_a_sleeper_in_another_thread_is_woken() -> None:
    clock = ManualClock()
    thread = threading.Thread(target=lambda: asyncio.run(clock.sleep(60)), daemon=True)
    thread.start()
    clock.wait_for_sleepers(1)
    clock.advance(60)
    thread.join(10)
    assert not thread.is_alive()


def test_a_cancelled_sleeper_is_forgotten() -> None:
    async def play() -> None:
        clock = ManualClock()
        cancelled = asyncio.create_task(clock.sleep(1))
        kept = asyncio.create_task(clock.sleep(1))
        await asyncio.to_thread(clock.wait_for_sleepers, 2)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        with pytest.raises(TimeoutError, match="only 1 of 2"):
            clock.wait_for_sleepers(2, timeout_s=0)
        clock.advance(1)
        await kept

    asyncio.run(play())


def test_a_sleeper_cancelled_at_its_moment_stays_cancelled() -> None:
    async def play() -> None:
        clock = ManualClock()
        task = asyncio.create_task(clock.sleep(1))
        await asyncio.to_thread(clock.wait_for_sleepers, 1)
        clock.advance(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(play())


def test_no_time_is_slept_at_once() -> None:
    asyncio.run(ManualClock().sleep(0))
    asyncio.run(ManualClock().sleep(-1))


def test_time_is_not_turned_back() -> None:
    with pytest.raises(SettingError):
        ManualClock().advance(-1)
