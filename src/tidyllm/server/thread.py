"""The one thread per process on which the store is asked."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tidyllm.server.store import Store

T = TypeVar("T")


class StoreThread:
    """A store with a thread of its own: `await thread.run(lambda store: store.file(...))`.

    The store is opened on that thread by the first question, and closed on it by `close`.
    """

    def __init__(self, open_store: Callable[[], Store]) -> None:
        self._open_store = open_store
        self._store: Store | None = None
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="store")

    async def run(self, ask: Callable[[Store], T]) -> T:
        """Return what `ask` returns; questions are answered one at a time, in the order they came."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self._ask, ask)

    def _ask(self, ask: Callable[[Store], T]) -> T:
        if self._store is None:
            self._store = self._open_store()
        return ask(self._store)

    def close(self) -> None:
        """Answer the questions that are waiting, then close the store and end the thread."""
        if self._store is not None:
            self._executor.submit(self._store.close).result()
        self._executor.shutdown()
