"""The routes under /v1/batches; spec/openai-batch 4."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tidyllm.core.batch import BatchStatus
from tidyllm.server.api.checks import page_cursor, page_limit, read_json
from tidyllm.server.api.creation import COMPLETION_WINDOWS, Creation, read_creation
from tidyllm.server.api.errors import RefusedError, no_such_batch
from tidyllm.server.api.form import BATCH
from tidyllm.server.api.ids import new_batch_id
from tidyllm.server.api.services import Services, project_of
from tidyllm.server.api.shapes import batch_shape, json_response, page_shape
from tidyllm.server.records import BatchRecord
from tidyllm.server.store import Store

LIST_LIMIT_MAX = 100
LIST_LIMIT_DEFAULT = 20
"""Of GET /v1/batches; spec/openai-batch 4.5."""
_STOPPING = frozenset({BatchStatus.CANCELLING, BatchStatus.CANCELLED})


class BatchRoutes:
    """What the server does with batches."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def create(self, request: Request) -> Response:
        """Accept a batch; POST /v1/batches. A file that isn't there fails the batch later, as OpenAI has it."""
        body = await read_json(request, bytes_max=self._services.settings.json_body_bytes_max)
        creation, project_id, now = read_creation(body), project_of(request), self._services.now()
        batch = await self._services.change(lambda store: _add_batch(store, creation, project_id=project_id, now=now))
        return json_response(batch_shape(batch))

    async def list(self, request: Request) -> Response:
        """Return a page of batches, the newest first; GET /v1/batches."""
        project_id, after = project_of(request), page_cursor(request)
        limit = page_limit(request, low=0, high=LIST_LIMIT_MAX, default=LIST_LIMIT_DEFAULT)
        batches = await self._services.store.run(
            lambda store: store.list_batches(project_id, limit=limit + 1, after=after)
        )
        if batches is None:
            raise no_such_batch(str(after), param="after")
        # An empty page says that it is the last: a client that asked for nothing would ask for ever.
        has_more = limit > 0 and len(batches) > limit
        return json_response(page_shape([batch_shape(batch) for batch in batches[:limit]], has_more=has_more))

    async def retrieve(self, request: Request) -> Response:
        """Return one batch; GET /v1/batches/{batch_id}."""
        project_id, batch_id = project_of(request), _batch_id(request)
        batch = await self._services.store.run(lambda store: store.batch(project_id, batch_id))
        if batch is None:
            raise no_such_batch(batch_id)
        return json_response(batch_shape(batch))

    async def cancel(self, request: Request) -> Response:
        """Stop a batch; POST /v1/batches/{batch_id}/cancel. Cancelling again answers the same batch."""
        project_id, batch_id, now = project_of(request), _batch_id(request), self._services.now()
        batch = await self._services.change(lambda store: _cancel(store, batch_id, project_id=project_id, now=now))
        if batch is None:
            raise no_such_batch(batch_id)
        if batch.status not in _STOPPING:
            # Without the header the SDKs would ask three times; spec/openai-batch 1.2.
            message = f"Cannot cancel a batch with status '{batch.status.value}'."
            raise RefusedError(message, status=409, headers={"x-should-retry": "false"})
        return json_response(batch_shape(batch))


def _add_batch(store: Store, creation: Creation, *, project_id: str, now: int) -> BatchRecord:
    file = store.file(project_id, creation.input_file_id, now=now)
    if file is not None and file.purpose != BATCH:
        message = f"Invalid 'input_file_id': file '{file.id}' has the purpose '{file.purpose}'; a batch needs 'batch'."
        raise RefusedError(message, param="input_file_id", code="invalid_value")
    batch = BatchRecord(
        id=new_batch_id(),
        project_id=project_id,
        endpoint=creation.endpoint,
        input_file_id=creation.input_file_id,
        completion_window=creation.completion_window,
        created_at=now,
        expires_at=now + COMPLETION_WINDOWS[creation.completion_window],
        metadata=creation.metadata,
        output_expires_after_s=creation.output_expires_after_s,
        in_order=creation.in_order,
    )
    return store.add_batch(batch)


def _cancel(store: Store, batch_id: str, *, project_id: str, now: int) -> BatchRecord | None:
    before = store.batch(project_id, batch_id)
    if store.cancel_batch(project_id, batch_id, now=now) and before is not None:
        # Not read again: if that failed, it would be told that nothing was done.
        return msgspec.structs.replace(before, status=BatchStatus.CANCELLING, cancelling_at=now)
    return store.batch(project_id, batch_id)


def _batch_id(request: Request) -> str:
    return str(request.path_params["batch_id"])
