"""From the body of an upload to a durable blob, streamed: no more than a few buffers of it are ever in memory."""

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, closing
from functools import partial

from starlette.requests import Request

from tidyllm.server.api.errors import disk_full, too_large
from tidyllm.server.api.form import BATCH, OVERHEAD_BYTES_MAX, FormReader, UploadForm
from tidyllm.server.api.ids import new_file_id
from tidyllm.server.api.services import Services, project_of
from tidyllm.server.blob import BlobWriter
from tidyllm.server.on_disk import on_disk
from tidyllm.server.records import FileRecord

WRITE_BYTES = 1024 * 1024
"""As much of the file is gathered before a thread writes it: one hop per megabyte, not per packet."""


@asynccontextmanager
async def receive_file(request: Request, services: Services) -> AsyncIterator[FileRecord]:
    """Yield the record of an uploaded file whose bytes are durable, and which the block tells the store of.

    Raises RefusedError, and ClientDisconnect if the client goes away; these, and an error in the block, leave no
    bytes behind, or none that the pruner does not find.
    """
    bytes_max = services.settings.upload_bytes_max
    announced = int(request.headers.get("content-length", 0))
    if announced > bytes_max + OVERHEAD_BYTES_MAX:
        raise too_large("The file", bytes_max=bytes_max, param="file")
    _check_room(services, announced)
    form = FormReader(request.headers.get("content-type", ""), services.settings)
    writer = await on_disk(services.blobs.create)
    try:
        write = partial(_write, writer=writer, services=services)
        with closing(form):
            upload = await _receive(request, form, write=write, bytes_max=bytes_max)
        record = _record(upload, project_id=project_of(request), services=services)
        await on_disk(partial(writer.commit, record.blob))
        try:
            yield record
        except Exception:
            # The store knows nothing of it.
            await on_disk(partial(services.blobs.delete, record.blob))
            raise
    finally:
        # Not before the store knows of it: bytes that it does not know, and nobody holds, look abandoned.
        await on_disk(writer.close)


def _check_room(services: Services, size: int) -> None:
    """Refuse what would take the space that work in progress may need."""
    if services.disk.free_bytes(services.settings.data) - size < services.settings.disk_free_min_bytes:
        raise disk_full()


def _write(data: bytes, *, writer: BlobWriter, services: Services) -> None:
    _check_room(services, len(data))  # Several uploads may come at once, and not all say how long they are.
    writer.write(data)


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
