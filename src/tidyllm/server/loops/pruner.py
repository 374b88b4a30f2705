"""Removing what nobody needs any more: bytes of deleted and expired files, journals of ended batches."""

import asyncio
import shutil

from tidyllm.core.clock import Clock
from tidyllm.server.blob import Blobs
from tidyllm.server.places import journals_folder
from tidyllm.server.settings import Settings
from tidyllm.server.thread import StoreThread

AT_ONCE_MAX = 100
"""Blobs removed in one step."""


class Pruner:
    """Frees disk space; a file's bytes stay while an unfinished batch reads them."""

    def __init__(self, *, store: StoreThread, blobs: Blobs, clock: Clock, settings: Settings) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._journals = journals_folder(settings.data)

    async def run_once(self) -> bool:
        """Remove some of what can go; return whether there may be more."""
        await self._remove_journals()
        now = int(self._clock.now())
        keys = await self._store.run(lambda store: store.purgeable_blobs(now=now, limit=AT_ONCE_MAX))
        for key in keys:
            await asyncio.to_thread(self._blobs.delete, key)
        if keys:
            await self._store.run(lambda store: store.blobs_purged(keys, now=now))
        return len(keys) == AT_ONCE_MAX

    async def _remove_journals(self) -> None:
        if not self._journals.exists():
            return
        batch_ids = [folder.name for folder in self._journals.iterdir() if folder.is_dir()]
        for batch_id in await self._store.run(lambda store: store.ended_batches(batch_ids)):
            await asyncio.to_thread(shutil.rmtree, self._journals / batch_id)
