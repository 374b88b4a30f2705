"""From the body of an upload to a durable blob, streamed: no more than a few buffers of it are ever in memory."""

from collections.abc import Callable
from contextlib import aclosing
from functools import partial

from starlette.requests import Request

from tidyllm.server.api.errors import too_large
from tidyllm.server.api.form import BATCH, OVERHEAD_BYTES_MAX, FormReader, UploadForm
from tidyllm.server.api.ids import new_file_id
from tidyllm.server.api.services import Services, on_disk, project_of
from tidyllm.server.records import FileRecord

WRITE_BYTES = 1024 * 1024
"""As much of the file is gathered before a thread writes it: one hop per megabyte, not per packet."""


async def receive_file(request: Request, services: Services) -> FileRecord:
    """Return the record of an uploaded file whose bytes are durable; the store is yet to be told.

    Raises RefusedError, and ClientDisconnect if the client goes away; either leaves no bytes behind.
    """
    bytes_max = services.settings.upload_bytes_max
    if int(request.headers.get("content-length", 0)) > bytes_max + OVERHEAD_BYTES_MAX:
        raise too_large("The file", bytes_max=bytes_max, param="file")
    form = FormReader(request.headers.get("content-type", ""), services.settings)
    writer = services.blobs.create()
    try:
        upload = await _receive(request, form, write=writer.write, bytes_max=bytes_max)
        record = _record(upload, project_id=project_of(request), services=services)
        await on_disk(partial(writer.commit, record.blob))
    finally:
        await on_disk(writer.discard)
    return record


async def _receive(request: Request, form: FormReader, *, write: Callable[[bytes], None], bytes_max: int) -> UploadForm:
    received = 0
    async with aclosing(request.stream()) as chunks:
        async for chunk in chunks:
            received += len(chunk)
            if received > bytes_max + OVERHEAD_BYTES_MAX:
                raise too_large("The body of your request", bytes_max=bytes_max + OVERHEAD_BYTES_MAX)
            form.feed(chunk)
            if form.waiting >= WRITE_BYTES:
                await on_disk(partial(write, form.take()))
    upload = form.finish()
    await on_disk(partial(write, form.take()))
    return upload


def _record(upload: UploadForm, *, project_id: str, services: Services) -> FileRecord:
    file_id = new_file_id()
    now = services.now()
    keep_s = upload.expires_after_s
    if keep_s is None and upload.purpose == BATCH:
        keep_s = services.settings.file_retention_s
    return FileRecord(
        id=file_id,
        project_id=project_id,
        blob=file_id,
        purpose=upload.purpose,
        filename=upload.filename,
        bytes=upload.bytes,
        created_at=now,
        expires_at=None if keep_s is None else now + keep_s,
    )
