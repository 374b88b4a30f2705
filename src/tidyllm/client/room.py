"""How many bytes of requests under way a run has in memory: images make them large."""

import asyncio

from tidyllm.core.wire import MIB

BYTES_MAX = 256 * MIB
"""Of bodies; what they were made of takes three quarters as much again."""


class Room:
    """What of it is taken; one request goes in any case, however large."""

    def __init__(self, bytes_max: int = BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._taken: dict[int, int] = {}
        self._total = 0
        self._freed = asyncio.Event()

    async def take(self, number: int, size: int) -> None:
        """Wait until a request of that size has room, and take it."""
        while self._taken and self._total + size > self._bytes_max:
            self._freed.clear()
            await self._freed.wait()
        self._taken[number] = size
        self._total += size

    def give(self, number: int) -> None:
        """Give the room of a request back."""
        self._total -= self._taken.pop(number)
        self._freed.set()
