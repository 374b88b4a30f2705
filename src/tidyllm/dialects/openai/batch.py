"""The Batch API: lists, single batches, and the lines of input and result files; spec/openai-batch 4 to 6 and 10."""

from collections.abc import Callable, Mapping
from urllib.parse import quote, urlencode

import msgspec

from tidyllm.core.batch import Batch
from tidyllm.core.errors import BadAnswerError
from tidyllm.core.problem import UNREADABLE, Problem, read_problem
from tidyllm.core.reply import Answer, Outcome, Reply
from tidyllm.core.wire import Call, Repeat, Request
from tidyllm.dialect import BatchOrder, BatchPage, ResultFile, Site
from tidyllm.dialects.errors import decode, success
from tidyllm.dialects.openai.shapes import BatchList, BatchObject, NamedLine, ResultLine, ResultResponse

_ENDED_SO = {"batch_expired": Outcome.EXPIRED, "batch_cancelled": Outcome.CANCELLED}
"""Codes of requests that were never run; every other one is a failure; spec/openai-batch 6.2."""


class Batches(msgspec.Struct, frozen=True):
    """The Batch API."""

    def page(self, site: Site, *, limit: int, after: str | None = None) -> Call[BatchPage]:
        """Return at most `limit` batches, newest first, after the one that the last page ended with."""
        query = {"limit": str(limit)} | ({} if after is None else {"after": after})
        response = yield _get(site, f"/batches?{urlencode(query)}")
        said = decode(success(response, site), BatchList, site=site)
        batches = tuple(item.read() for item in said.data)
        return BatchPage(batches, batches[-1].id if said.has_more and batches else None)

    def get(self, site: Site, batch_id: str) -> Call[Batch]:
        """Return one batch."""
        response = yield _get(site, f"/batches/{quote(batch_id, safe='')}")
        return decode(success(response, site), BatchObject, site=site).read()

    def create(self, site: Site, order: BatchOrder) -> Call[Batch]:
        """Start a batch. The request is never repeated: a second one would be a second bill; spec 1.2."""
        said = {
            "input_file_id": order.input_file_id,
            "endpoint": order.path,
            "completion_window": "24h",
            "metadata": dict(order.metadata),
        }
        response = yield _post(site, "/batches", body=msgspec.json.encode(said), repeat=Repeat.NEVER)
        return decode(success(response, site), BatchObject, site=site).read()

    def cancel(self, site: Site, batch_id: str) -> Call[Batch]:
        """Ask a batch to stop; one that is stopping or has stopped is returned as it is."""
        response = yield _post(site, f"/batches/{quote(batch_id, safe='')}/cancel")
        return decode(success(response, site), BatchObject, site=site).read()

    def line(self, custom_id: str, *, path: str, body: Mapping[str, object]) -> bytes:
        """Return one line of the input file, without its line end."""
        return msgspec.json.encode({"custom_id": custom_id, "method": "POST", "url": path, "body": body})

    def result_files(self, batch: Batch) -> tuple[ResultFile, ...]:
        """Return every file that a batch has left behind, whatever its state and its counts say; spec 10."""
        named = (("output.jsonl", batch.output_file_id), ("error.jsonl", batch.error_file_id))
        return tuple(ResultFile(name, file_id) for name, file_id in named if file_id is not None)

    def read_line(self, line: bytes, *, read: Callable[[bytes], Reply]) -> Answer:
        """Return how the request of one result line ended, whichever file it stands in; spec 6.2.

        Raises BadAnswerError for a line that does not even say which request it answers.
        """
        try:
            said = msgspec.json.decode(line, type=ResultLine)
        except UNREADABLE as fault:
            return _unread(line, fault)
        if said.response is not None and said.response.ok:
            return _answered(said.custom_id, said.response, read=read)
        return _failed(said)


def _get(site: Site, path: str) -> Request:
    return Request(method="GET", url=site.base_url + path, headers=site.headers, auth=site.auth)


def _post(site: Site, path: str, *, body: bytes | None = None, repeat: Repeat = Repeat.ALWAYS) -> Request:
    headers = site.headers if body is None else site.says(("content-type", "application/json"))
    return Request(method="POST", url=site.base_url + path, headers=headers, body=body, auth=site.auth, repeat=repeat)


def _answered(custom_id: str, response: ResultResponse, *, read: Callable[[bytes], Reply]) -> Answer:
    request_id = response.request_id or None
    try:
        reply = read(bytes(response.body))
    except BadAnswerError as fault:
        return Answer(custom_id=custom_id, outcome=Outcome.INVALID, error=str(fault), request_id=request_id)
    error = "The answer holds no text." if reply.outcome is Outcome.INVALID else reply.refusal
    return Answer(custom_id=custom_id, outcome=reply.outcome, reply=reply, error=error, request_id=request_id)


def _unread(line: bytes, fault: Exception) -> Answer:
    error = f"This is no line of batch results: {fault}"
    try:
        custom_id = msgspec.json.decode(line, type=NamedLine).custom_id
    except UNREADABLE:
        raise BadAnswerError(error, body=line) from fault
    return Answer(custom_id=custom_id, outcome=Outcome.INVALID, error=error)


def _failed(said: ResultLine) -> Answer:
    response = said.response or ResultResponse()
    problem = _problem(said, response)
    message = problem.message or problem.code or "The provider kept neither an answer nor an error."
    return Answer(
        custom_id=said.custom_id,
        outcome=_ENDED_SO.get(problem.code or "", Outcome.FAILED),
        error=message if response.status_code is None else f"{response.status_code}: {message}",
        request_id=response.request_id or None,
    )


def _problem(said: ResultLine, response: ResultResponse) -> Problem:
    if said.error is None:
        return read_problem(bytes(response.body))
    if isinstance(said.error, str):
        return Problem(message=said.error)
    return Problem(message=said.error.message, code=None if said.error.code is None else str(said.error.code))
