"""Blocking file operations, off the event loop and always to their end."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def on_disk(operation: Callable[[], T]) -> T:
    """Return what a blocking file operation returns, run in a thread.

    A cancelled caller waits for the thread too: nobody discards or closes a file that is still being written.
    """
    task = asyncio.ensure_future(asyncio.to_thread(operation))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
