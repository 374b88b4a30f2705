"""The routes under /v1/files; spec/openai-batch 2."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from tidyllm.core.errors import StorageError
from tidyllm.server.api.checks import page_cursor, page_limit
from tidyllm.server.api.download import BlobResponse
from tidyllm.server.api.errors import RefusedError, no_such_file, wrong_value
from tidyllm.server.api.services import Services, project_of
from tidyllm.server.api.shapes import deleted_shape, file_shape, json_response, page_shape
from tidyllm.server.api.upload import receive_file
from tidyllm.server.on_disk import on_disk
from tidyllm.server.records import FileRecord

LIST_LIMIT_MAX = 10_000
"""Also the default; spec/openai-batch 2.3."""
_ORDERS = ("asc", "desc")


class FileRoutes:
    """What the server does with files."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def upload(self, request: Request) -> Response:
        """Store a file; POST /v1/files."""
        async with receive_file(request, self._services) as record:
            await self._services.change(lambda store: store.add_file(record))
        return json_response(file_shape(record))

    async def list(self, request: Request) -> Response:
        """Return a page of files; GET /v1/files."""
        project_id, now = project_of(request), self._services.now()
        limit = page_limit(request, low=1, high=LIST_LIMIT_MAX, default=LIST_LIMIT_MAX)
        order = request.query_params.get("order", "desc")
        if order not in _ORDERS:
            raise wrong_value("order", value=order, supported=_ORDERS)
        files = await self._services.store.run(
            lambda store: store.list_files(
                project_id,
                now=now,
                limit=limit + 1,
                after=page_cursor(request),
                purpose=request.query_params.get("purpose"),
                newest_first=order == "desc",
            )
        )
        if files is None:
            raise RefusedError("Resource not found.", status=404, param="after")
        return json_response(page_shape([file_shape(file) for file in files[:limit]], has_more=len(files) > limit))

    async def retrieve(self, request: Request) -> Response:
        """Return one file; GET /v1/files/{file_id}."""
        return json_response(file_shape(await self._file(request)))

    async def content(self, request: Request) -> Response:
        """Return a file's bytes; GET /v1/files/{file_id}/content."""
        file = await self._file(request)
        try:
            body = await on_disk(partial(self._services.blobs.open, file.blob))
        except FileNotFoundError as error:
            # It was deleted or has expired since we looked; if not, that is for whoever runs the server to see.
            await self._file(request)
            raise StorageError(f"The bytes of {file.id} are gone: {error}.") from error
        return BlobResponse(body, filename=file.filename)

    async def delete(self, request: Request) -> Response:
        """Forget a file; DELETE /v1/files/{file_id}."""
        project_id, file_id, now = project_of(request), _file_id(request), self._services.now()
        if not await self._services.change(lambda store: store.delete_file(project_id, file_id, now=now)):
            raise no_such_file(file_id)
        return json_response(deleted_shape(file_id))

    async def _file(self, request: Request) -> FileRecord:
        project_id, file_id, now = project_of(request), _file_id(request), self._services.now()
        file = await self._services.store.run(lambda store: store.file(project_id, file_id, now=now))
        if file is None:
            raise no_such_file(file_id)
        return file


def _file_id(request: Request) -> str:
    return str(request.path_params["file_id"])
