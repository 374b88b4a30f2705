"""What the routes work with, and whose things a request may see."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import TypeVar

import msgspec
from starlette.requests import Request

from tidyllm.core.clock import Clock
from tidyllm.core.disk import Disk
from tidyllm.server.blob import Blobs
from tidyllm.server.settings import Settings
from tidyllm.server.store import DEFAULT_PROJECT, Store
from tidyllm.server.thread import StoreThread

T = TypeVar("T")


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the routes need, made by whoever starts the server."""

    settings: Settings
    store: StoreThread
    blobs: Blobs
    disk: Disk
    clock: Clock

    async def change(self, ask: Callable[[Store], T]) -> T:
        """Return what a change of the store returns, even where a stop cuts the request off meanwhile.

        What has been done must not be answered as if it had not.
        """
        changing = asyncio.ensure_future(self.store.run(ask))
        while not changing.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({changing})
        return changing.result()

    def now(self) -> int:
        """Return the time in whole seconds since 1970 UTC, as the API tells it."""
        return int(self.clock.now())


def project_of(request: Request) -> str:  # noqa: ARG001 - keys will be read from the request here, and nowhere else
    """Return the project whose files and batches the request may see; without keys there is one."""
    return DEFAULT_PROJECT
