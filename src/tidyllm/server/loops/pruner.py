"""Removing what nobody needs any more: bytes of deleted and expired files, journals of ended batches, leftovers."""

import asyncio
from itertools import islice
from pathlib import Path

from tidyllm.core.clock import Clock
from tidyllm.core.disk import Disk
from tidyllm.server.blob import Blobs
from tidyllm.server.places import journals_folder
from tidyllm.server.settings import Settings
from tidyllm.server.thread import StoreThread

AT_ONCE_MAX = 100
"""Blobs removed in one step."""
SWEEP_EVERY_S = 3600.0
"""How often the blobs are looked through for bytes that a writer left when it died; also done at the start."""
SWEEP_AT_ONCE_MAX = 1000


class Pruner:
    """Frees disk space; a file's bytes stay while an unfinished batch reads them."""

    def __init__(self, *, store: StoreThread, blobs: Blobs, disk: Disk, clock: Clock, settings: Settings) -> None:
        self._store = store
        self._blobs = blobs
        self._disk = disk
        self._clock = clock
        self._journals = journals_folder(settings.data)
        self._sweep_due = clock.monotonic()

    async def run_once(self) -> bool:
        """Remove some of what can go; return whether there may be more."""
        now = int(self._clock.now())
        keys = await self._store.run(lambda store: store.purgeable_blobs(now=now, limit=AT_ONCE_MAX))
        for key in keys:
            await asyncio.to_thread(self._blobs.delete, key)
        if keys:
            await self._store.run(lambda store: store.blobs_purged(keys, now=now))
        if len(keys) == AT_ONCE_MAX:
            return True
        await self._remove_journals()
        if self._clock.monotonic() >= self._sweep_due:
            await asyncio.to_thread(self._blobs.sweep)
            await self._remove_abandoned()
            self._sweep_due = self._clock.monotonic() + SWEEP_EVERY_S
        return False

    async def _remove_journals(self) -> None:
        # A link may lead to what is not ours.
        batch_ids = [folder.name for folder in self._journals.iterdir() if folder.is_dir() and not folder.is_symlink()]
        for batch_id in await self._store.run(lambda store: store.ended_batches(batch_ids)):
            await asyncio.to_thread(self._remove_folder, self._journals / batch_id)

    def _remove_folder(self, folder: Path) -> None:
        for file in folder.glob("*.log"):
            if file.is_file():
                self._disk.remove(file)
        self._disk.remove_folder(folder)  # It stays while somebody else's things are in it.

    async def _remove_abandoned(self) -> None:
        """Remove bytes that no file has: their writer died before it could tell the store of them."""
        keys = self._blobs.keys()
        while some := list(islice(keys, SWEEP_AT_ONCE_MAX)):
            for key in await self._unknown(some):
                with self._blobs.abandoned(key) as left:
                    # A writer tells the store before it lets go: only now is the answer final.
                    if left and await self._unknown([key]):
                        await asyncio.to_thread(self._blobs.delete, key)

    async def _unknown(self, keys: list[str]) -> set[str]:
        return await self._store.run(lambda store: store.unknown_blobs(keys))
