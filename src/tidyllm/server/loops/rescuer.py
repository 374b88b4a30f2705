"""Noticing dead workers by their lock files, and putting their shards back in the queue."""

from tidyllm.core.clock import Clock
from tidyllm.server.locks import free
from tidyllm.server.places import worker_lock, worker_locks
from tidyllm.server.settings import Settings
from tidyllm.server.thread import StoreThread


class Rescuer:
    """Buries workers whose lock is free; one that is only paused still holds it."""

    def __init__(self, *, store: StoreThread, clock: Clock, settings: Settings) -> None:
        self._store = store
        self._clock = clock
        self._settings = settings

    async def run_once(self) -> bool:
        """Bury every dead worker; there is never more to do at once."""
        for worker_id in await self._store.run(lambda store: store.live_workers()):
            with free(worker_lock(self._settings.data, worker_id)) as dead:
                if dead:
                    now = int(self._clock.now())
                    await self._store.run(lambda store: store.bury_worker(worker_id, now=now))  # noqa: B023 - awaited at once
        live = await self._store.run(lambda store: store.live_workers())
        for worker_id, lock in worker_locks(self._settings.data).items():
            with free(lock) as dead:
                if dead and worker_id not in live:
                    lock.unlink(missing_ok=True)
        return False
