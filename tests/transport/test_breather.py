"""Stepping aside after answers: once for those that came together, when what follows them was sent."""

import asyncio

from tidyllm.transport.breather import TURNS, Breather


def test_steps_aside_once_for_answers_that_came_together_and_after_what_they_began() -> None:
    done: list[str] = []

    async def body() -> None:
        loop = asyncio.get_running_loop()
        breather = Breather(lambda: done.append("aside"))
        for _ in range(3):
            loop.call_soon(loop.call_soon, done.append, "sent")
            breather.answered()
        for _ in range(TURNS + 2):
            await asyncio.sleep(0)
        assert done[0] == "sent"
        assert done.count("aside") == 1
        breather.answered()
        for _ in range(TURNS + 2):
            await asyncio.sleep(0)
        assert done.count("aside") == 2

    asyncio.run(body())
