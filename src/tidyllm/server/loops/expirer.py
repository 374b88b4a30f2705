"""Ending batches whose completion window has closed."""

from tidyllm.core.clock import Clock
from tidyllm.server.thread import StoreThread


class Expirer:
    """Marks lapsed batches; the finisher publishes what they have."""

    def __init__(self, *, store: StoreThread, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def run_once(self) -> bool:
        """Mark every lapsed batch; there is never more to do at once."""
        now = int(self._clock.now())
        await self._store.run(lambda store: store.lapse_batches(now=now))
        return False
