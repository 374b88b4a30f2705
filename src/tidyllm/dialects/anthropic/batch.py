"""Message Batches: requests go in the body that starts one, results are lines of JSON; spec/anthropic 9."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

import msgspec

from tidyllm.core.batch import Batch
from tidyllm.core.problem import UNREADABLE
from tidyllm.core.reply import Outcome
from tidyllm.core.wire import Call, Repeat, Request
from tidyllm.dialect import BatchOrder, BatchPage, Framing, ResultFile, ResultItem, Site
from tidyllm.dialects.anthropic.batch_shapes import BatchList, MessageBatch, ResultLine
from tidyllm.dialects.errors import decode, success
from tidyllm.dialects.results import failed, problem_of, succeeded, unreadable

_NEVER_RUN = {
    "canceled": (Outcome.CANCELLED, "The batch was cancelled before this request was run."),
    "expired": (Outcome.EXPIRED, "The batch's time was up before this request was run."),
}


class MessageBatches(msgspec.Struct, frozen=True, kw_only=True):
    """The Message Batches API; it keeps no notes, so a batch is known by its size and its time alone."""

    version: str = "2023-06-01"
    """The version of the API, as `Messages` has it."""
    uploads: bool = False
    inline_bytes_max: int = 256_000_000
    """256 MB, whose unit is not stated: the smaller reading is safe."""
    keeps_notes: bool = False

    def page(self, site: Site, *, limit: int, after: str | None = None) -> Call[BatchPage]:
        """Return at most `limit` batches, newest first, after the one that the last page ended with."""
        query = {"limit": str(limit)} | ({} if after is None else {"after_id": after})
        response = yield self._request(site, "GET", path=f"?{urlencode(query)}")
        said = decode(success(response, site), BatchList, site=site)
        batches = tuple(item.read() for item in said.data)
        return BatchPage(batches, batches[-1].id if said.has_more and batches else None)

    def get(self, site: Site, batch_id: str) -> Call[Batch]:
        """Return one batch."""
        return (yield from self._answered(site, self._request(site, "GET", path=_place(batch_id))))

    def framing(self, order: BatchOrder) -> Framing:  # noqa: ARG002
        """Return what stands around the requests: nothing but their list, for no batch has a name."""
        return Framing(b'{"requests":[\n', b"\n]}")

    def create(self, site: Site, order: BatchOrder) -> Call[Batch]:
        """Start a batch. The request is never repeated: a second one would be a second bill."""
        headers = site.says(("anthropic-version", self.version), ("content-type", "application/json"))
        request = msgspec.structs.replace(
            self._request(site, "POST"), headers=headers, body=order.requests, repeat=Repeat.NEVER
        )
        return (yield from self._answered(site, request))

    def cancel(self, site: Site, batch_id: str) -> Call[Batch]:
        """Ask a batch to stop; one that is stopping or has stopped is returned as it is."""
        return (yield from self._answered(site, self._request(site, "POST", path=f"{_place(batch_id)}/cancel")))

    def delete(self, site: Site, batch_id: str) -> Call[None]:
        """Delete a batch that has ended, with its results."""
        response = yield self._request(site, "DELETE", path=_place(batch_id))
        success(response, site)

    def line(self, custom_id: str, *, path: str, body: Mapping[str, object], inline: bool) -> bytes:  # noqa: ARG002
        """Return one request as it stands in the body."""
        return msgspec.json.encode({"custom_id": custom_id, "params": body})

    def result_files(self, batch: Batch) -> tuple[ResultFile, ...]:
        """Return the results of a batch that has ended; before that there are none to be had."""
        return (ResultFile(name="results.jsonl", id=batch.id),) if batch.status.ended else ()

    def download(self, site: Site, batch: Batch, *, file: ResultFile, sink: Path) -> Call[None]:  # noqa: ARG002
        """Write the results to `sink` as they come."""
        request = self._request(site, "GET", path=f"{_place(file.id)}/results")
        response = yield msgspec.structs.replace(request, sink=sink)
        success(response, site)

    def items(self, document: bytes) -> Iterable[bytes]:
        """Return the results of a file, a line each."""
        return document.splitlines()

    def read_item(self, data: bytes) -> ResultItem:
        """Return how the request of one result ended.

        Raises BadAnswerError for a line that does not even say which request it answers.
        """
        try:
            said = msgspec.json.decode(data, type=ResultLine)
        except UNREADABLE as fault:
            return unreadable(data, fault)
        result = said.result
        if result.type in _NEVER_RUN:
            outcome, error = _NEVER_RUN[result.type]
            return ResultItem(custom_id=said.custom_id, outcome=outcome, error=error)
        if result.type == "succeeded":
            return succeeded(said.custom_id, result.message)
        problem = problem_of(result.error)
        return failed(said.custom_id, problem, kind=problem.type or result.type)

    def _request(self, site: Site, method: str, *, path: str = "") -> Request:
        return Request(
            method=method,
            url=f"{site.base_url}/messages/batches{path}",
            headers=site.says(("anthropic-version", self.version)),
            auth=site.auth,
        )

    def _answered(self, site: Site, request: Request) -> Call[Batch]:
        response = yield request
        return decode(success(response, site), MessageBatch, site=site).read()


def _place(batch_id: str) -> str:
    return f"/{quote(batch_id, safe='')}"
