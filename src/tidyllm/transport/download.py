"""Large answers on their way to disk: under another name until they are whole."""

import asyncio
import os
import tempfile
from pathlib import Path
from typing import BinaryIO

from pyreqwest.response import ResponseBodyReader

from tidyllm.core.disk import sync_data
from tidyllm.core.wire import MIB

PIECE_BYTES = MIB
"""How much is in memory at a time; the server is held back meanwhile."""


async def save(reader: ResponseBodyReader, sink: Path) -> None:
    """Write the whole of an answer to `sink`; nothing is left of one that breaks off.

    The bytes gather beside `sink` under a hidden name ending in `.part` and are synced before they take its name.
    Disk calls run in threads: a sync may take seconds, and other answers wait on this loop.
    """
    handle, name = await asyncio.to_thread(tempfile.mkstemp, dir=sink.parent, prefix=f".{sink.name}.", suffix=".part")
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            while (piece := await reader.read(PIECE_BYTES)) is not None:
                await asyncio.to_thread(file.write, piece)
            await asyncio.to_thread(_sync, file)
        await asyncio.to_thread(part.replace, sink)
    except BaseException:
        part.unlink(missing_ok=True)  # noqa: ASYNC240 - at once, for a task that is being cancelled cannot await
        raise


def _sync(file: BinaryIO) -> None:
    file.flush()
    sync_data(file.fileno())
