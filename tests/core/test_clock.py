import asyncio

from tidyllm.core.clock import SystemClock


def test_the_system_clock_goes_forward_while_one_sleeps() -> None:
    clock = SystemClock()
    before, wall = clock.monotonic(), clock.now()
    asyncio.run(clock.sleep(0.001))
    assert clock.monotonic() > before
    assert clock.now() >= wall
