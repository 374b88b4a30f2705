"""A clock for whole lives of jobs, in which hours pass at once."""

from tidyllm.core.clock import SystemClock


class HastyClock(SystemClock):
    """A clock whose waits take no time: they end with its hands moved on."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def now(self) -> float:
        return super().now() + self._ahead

    def monotonic(self) -> float:
        return super().monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        self._ahead += max(seconds, 0.0)
