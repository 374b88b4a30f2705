"""A file's bytes as an answer, streamed from disk."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from typing import BinaryIO
from urllib.parse import quote

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

READ_BYTES = 256 * 1024
"""Read in a thread and sent at once."""

_UNSAFE = re.compile(r"[^A-Za-z0-9._ -]")


class BlobResponse(StreamingResponse):
    """The bytes of an open file, which is closed when they are sent or the client has gone away."""

    def __init__(self, file: BinaryIO, *, filename: str) -> None:
        self._file = file
        headers = {
            "content-length": str(os.fstat(file.fileno()).st_size),
            "content-disposition": _content_disposition(filename),
        }
        super().__init__(_pieces(file), headers=headers, media_type="application/octet-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer."""
        with self._file:
            await super().__call__(scope, receive, send)


async def _pieces(file: BinaryIO) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(file.read, READ_BYTES):
        yield piece


def _content_disposition(filename: str) -> str:
    """Return the header in both its forms: a plain one for all, the exact one in UTF-8 (RFC 6266)."""
    plain = _UNSAFE.sub("_", filename)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
