"""Batch Mode: requests in a file or in the body, results likewise; spec/gemini 9."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

import msgspec

from tidyllm.core.batch import Batch, BatchStatus
from tidyllm.core.errors import BadAnswerError
from tidyllm.core.problem import UNREADABLE, Problem
from tidyllm.core.reply import Outcome
from tidyllm.core.wire import MIB, Call, Repeat, Request, Response
from tidyllm.dialect import BatchOrder, BatchPage, Framing, ResultFile, ResultItem, Site
from tidyllm.dialects.errors import decode, success
from tidyllm.dialects.gemini.batch_shapes import EMBED_PATH, Embedded, Operation, OperationList, Result, code_word
from tidyllm.dialects.gemini.files import Files
from tidyllm.dialects.gemini.names import url_path
from tidyllm.dialects.results import failed, problem_of, succeeded, unreadable

_BATCHES = "batches/"
_BODY_BYTES_MAX = 1024 * MIB
"""A batch that was sent in the body has all its results in it when it is looked at."""
_OUTCOMES = {"1": Outcome.CANCELLED}
"""Of requests that did not run because their batch was cancelled; spec/gemini 9."""


class Batches(msgspec.Struct, frozen=True):
    """Batch Mode, of chats and of embeddings."""

    uploads: bool = True
    inline_bytes_max: int = 1_000_000
    """The API takes 20 MB, but what was sent so is answered so: every look at a batch then brings all its results."""
    keeps_notes: bool = True

    def page(self, site: Site, *, limit: int, after: str | None = None) -> Call[BatchPage]:
        """Return at most `limit` batches, newest first, after the page that named `after`; results are left out."""
        query = {"pageSize": str(limit)} | ({} if after is None else {"pageToken": after})
        response = yield _request(site, "GET", path=f"/batches?{urlencode(query)}")
        said = decode(success(response, site), OperationList, site=site)
        batches = tuple(operation.read(listed=True) for operation in said.operations or [])
        return BatchPage(batches, said.next_page_token or None)

    def get(self, site: Site, batch_id: str) -> Call[Batch]:
        """Return one batch."""
        response = yield _request(site, "GET", path=_place(batch_id))
        return _read(response, site)

    def framing(self, order: BatchOrder) -> Framing:
        """Return what stands around the requests: the batch's name, for all else is in its URL."""
        name = msgspec.json.encode(_name(order))
        head = b'{"batch":{"displayName":' + name + b',"inputConfig":{"requests":{"requests":[\n'
        return Framing(head, b"\n]}}}}")

    def create(self, site: Site, order: BatchOrder) -> Call[Batch]:
        """Start a batch. The request is never repeated: a second one would be a second bill."""
        body: bytes | Path = order.requests
        if order.input_file_id is not None:
            batch = {"displayName": _name(order), "inputConfig": {"fileName": order.input_file_id}}
            body = msgspec.json.encode({"batch": batch})
        verb = "asyncBatchEmbedContent" if order.path == EMBED_PATH else "batchGenerateContent"
        request = _request(site, "POST", path=f"{url_path(order.model)}:{verb}", body=body)
        response = yield msgspec.structs.replace(request, repeat=Repeat.NEVER)
        return _read(response, site)

    def cancel(self, site: Site, batch_id: str) -> Call[Batch]:
        """Ask a batch to stop, and return it: what is asked for so says nothing of it."""
        response = yield _request(site, "POST", path=f"{_place(batch_id)}:cancel", body=b"{}")
        success(response, site)
        batch = yield from self.get(site, batch_id)
        # For a while it says that it runs as before; spec 9.
        return batch if batch.status.ended else msgspec.structs.replace(batch, status=BatchStatus.CANCELLING)

    def delete(self, site: Site, batch_id: str) -> Call[None]:
        """Delete a batch that has ended, with its results; one that runs would run on."""
        response = yield _request(site, "DELETE", path=_place(batch_id))
        success(response, site)

    def line(self, custom_id: str, *, path: str, body: Mapping[str, object], inline: bool) -> bytes:
        """Return one request as it stands in the file or in the body; the model is in the batch's URL alone."""
        if path == EMBED_PATH:
            body = _one_text(body)
        if inline:
            return msgspec.json.encode({"request": body, "metadata": {"key": custom_id}})
        return msgspec.json.encode({"key": custom_id, "request": body})

    def result_files(self, batch: Batch) -> tuple[ResultFile, ...]:
        """Return what a batch has left behind: a file, or the batch itself with its results in it."""
        found = batch.output_file_id
        if found is None:
            return ()
        if found.startswith(_BATCHES):
            return (ResultFile(name="output.json", id=found, document=True),)
        return (ResultFile(name="output.jsonl", id=found),)

    def download(self, site: Site, batch: Batch, *, file: ResultFile, sink: Path) -> Call[None]:  # noqa: ARG002
        """Write one of these to `sink` as it comes."""
        if not file.document:
            yield from Files().download(site, file.id, sink=sink)
            return
        response = yield msgspec.structs.replace(_request(site, "GET", path=_place(file.id)), sink=sink)
        success(response, site)

    def items(self, document: bytes) -> Iterable[bytes]:
        """Return the results that stand in a batch.

        Raises BadAnswerError for a document that holds none.
        """
        try:
            inlined = msgspec.json.decode(document, type=Operation).output.inlined
        except UNREADABLE as fault:
            raise BadAnswerError(f"This is no batch: {fault}", body=document) from fault
        if inlined is None:
            raise BadAnswerError("This batch holds no results.", body=document)
        return [bytes(item) for item in inlined.inlined_responses or []]

    def read_item(self, data: bytes) -> ResultItem:
        """Return how the request of one result ended, wherever it stands.

        Raises BadAnswerError for a result that does not even say which request it answers.
        """
        try:
            said = msgspec.json.decode(data, type=Result)
        except UNREADABLE as fault:
            raise BadAnswerError(f"This is no result of a batch: {fault}", body=data) from fault
        if said.custom_id is None:
            raise BadAnswerError("This result does not say which request it answers.", body=data)
        problem = problem_of(said.error)
        if problem == Problem() and said.has_response:
            return _succeeded(said.custom_id, said.response)
        return failed(said.custom_id, problem, kind=code_word(problem.code), outcomes=_OUTCOMES)


def _read(response: Response, site: Site) -> Batch:
    """Return the batch that an answer shows: one that failed has an error, as an answer has that is none itself."""
    body = response.body if response.ok else success(response, site)
    return decode(body, Operation, site=site).read()


def _succeeded(custom_id: str, response: msgspec.Raw) -> ResultItem:
    if b'"embedding"' not in bytes(response):
        return succeeded(custom_id, response)
    try:
        said = msgspec.json.decode(response, type=Embedded)
    except UNREADABLE as fault:
        return unreadable(bytes(response), fault, custom_id=custom_id)
    return succeeded(custom_id, said.as_live() if said.has_embedding else response)


def _one_text(body: Mapping[str, object]) -> Mapping[str, object]:
    """Return the request of one text that a live request holds, without its model."""
    requests = body["requests"]
    assert isinstance(requests, list)  # noqa: S101 - the live dialect makes it so
    (request,) = requests
    return {name: value for name, value in request.items() if name != "model"}


def _name(order: BatchOrder) -> str:
    """Return what to call a batch: the API keeps no other notes by which it could be found again."""
    return f"{order.name} {order.token}"


def _place(batch_id: str) -> str:
    return f"/batches/{quote(batch_id.removeprefix(_BATCHES), safe='')}"


def _request(site: Site, method: str, *, path: str, body: bytes | Path | None = None) -> Request:
    headers = site.headers if body is None else site.says(("content-type", "application/json"))
    return Request(
        method=method,
        url=site.base_url + path,
        headers=headers,
        body=body,
        auth=site.auth,
        body_bytes_max=_BODY_BYTES_MAX,
    )
