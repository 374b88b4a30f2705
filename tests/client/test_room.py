"""The bytes of requests under way: only so many are in memory."""

import asyncio

from tidyllm.client.room import Room


def test_a_request_waits_until_there_is_room_and_one_goes_in_any_case() -> None:
    async def main() -> list[str]:
        room, told = Room(bytes_max=10), []

        async def enter(number: int, size: int) -> None:
            await room.take(number, size)
            told.append(f"{number} in")

        await enter(1, 99)
        others = [asyncio.create_task(enter(number, 6)) for number in (2, 3)]
        for number in (1, 2, 3):
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            told.append(f"{number} out")
            room.give(number)
        await asyncio.gather(*others)
        return told

    assert asyncio.run(main()) == ["1 in", "1 out", "2 in", "2 out", "3 in", "3 out"]


def test_small_requests_do_not_wait_for_each_other() -> None:
    async def main() -> None:
        room = Room()
        for number in range(2000):
            await asyncio.wait_for(room.take(number, 1000), timeout=1)

    asyncio.run(main())
