import asyncio
import threading
from pathlib import Path

from tidyllm.core.clock import SystemClock
from tidyllm.core.disk import LocalDisk
from tidyllm.server.api.services import Services
from tidyllm.server.blobs.disk import DiskBlobs
from tidyllm.server.settings import Settings
from tidyllm.server.store import Store
from tidyllm.server.stores.sql.engine import open_store
from tidyllm.server.stores.sql.migrate import migrate
from tidyllm.server.thread import StoreThread


def test_a_change_that_was_begun_is_answered_as_done_though_a_stop_cuts_in(tmp_path: Path) -> None:
    migrate(tmp_path)
    disk, store = LocalDisk(), StoreThread(lambda: open_store(tmp_path))
    blobs = DiskBlobs(tmp_path / "blobs", disk=disk)
    services = Services(settings=Settings(), store=store, blobs=blobs, disk=disk, clock=SystemClock())
    began, may_end = threading.Event(), threading.Event()

    def change(asked: Store) -> list[str]:
        began.set()
        assert may_end.wait(30)
        asked.add_worker("w1", pid=1, now=1)
        return asked.live_workers()

    async def scenario() -> list[str]:
        request = asyncio.ensure_future(services.change(change))
        assert await asyncio.to_thread(began.wait, 30)
        request.cancel()
        asyncio.get_running_loop().call_soon(may_end.set)
        return await request

    assert asyncio.run(scenario()) == ["w1"]
    store.close()
