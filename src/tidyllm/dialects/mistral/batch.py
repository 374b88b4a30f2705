"""Mistral's batch jobs: one model a job, which stands with the job; spec/mistral 9."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

import msgspec

from tidyllm.core.batch import Batch, BatchStatus, RequestCounts
from tidyllm.core.wire import Call, Repeat, Request
from tidyllm.dialect import BatchOrder, BatchPage, Framing, ResultFile, ResultItem, Site
from tidyllm.dialects.batches import (
    end_moment,
    get_request,
    known_status,
    post_request,
    read_problems,
)
from tidyllm.dialects.errors import decode, success
from tidyllm.dialects.openai.files import Files
from tidyllm.dialects.openai.results import read_result
from tidyllm.dialects.times import unix_seconds

_WORDS: Mapping[str, BatchStatus] = {
    "QUEUED": BatchStatus.VALIDATING,
    "RUNNING": BatchStatus.IN_PROGRESS,
    "SUCCESS": BatchStatus.COMPLETED,
    "FAILED": BatchStatus.FAILED,
    "TIMEOUT_EXCEEDED": BatchStatus.EXPIRED,
    "CANCELLATION_REQUESTED": BatchStatus.CANCELLING,
    "CANCELLED": BatchStatus.CANCELLED,
}
_TIMEOUT_HOURS = 24


class Batches(msgspec.Struct, frozen=True):
    """The API of batch jobs. Requests can be sent in the body too, but no more than 10,000: they are uploaded."""

    uploads: bool = True
    inline_bytes_max: int = 0
    keeps_notes: bool = True

    def page(self, site: Site, *, limit: int, after: str | None = None) -> Call[BatchPage]:
        """Return at most `limit` batches, newest first, after the one that the last page ended with.

        The API counts pages; `after` is how many batches came before, so that pages of several lengths go together.
        """
        start = int(after or 0)
        size = next(size for size in range(limit, 0, -1) if start % size == 0)
        query = {"page": start // size, "page_size": size, "order_by": "-created"}
        response = yield get_request(site, f"/batch/jobs?{urlencode(query)}")
        said = decode(success(response, site), _List, site=site)
        end = start + len(said.data)
        more = len(said.data) == size if said.total is None else end < said.total
        return BatchPage(tuple(job.read() for job in said.data), str(end) if more and said.data else None)

    def get(self, site: Site, batch_id: str) -> Call[Batch]:
        """Return one batch."""
        response = yield get_request(site, f"/batch/jobs/{quote(batch_id, safe='')}")
        return decode(success(response, site), _Job, site=site).read()

    def framing(self, order: BatchOrder) -> Framing:
        """Raise TypeError: requests are uploaded here, and never sent in the body."""
        raise TypeError(f"The requests of {order.name} are uploaded, not framed.")

    def create(self, site: Site, order: BatchOrder) -> Call[Batch]:
        """Start a batch. The request is never repeated: a second one would be a second bill."""
        said = {
            "endpoint": order.path,
            "model": order.model,
            "input_files": [order.input_file_id],
            "timeout_hours": _TIMEOUT_HOURS,
            "metadata": order.notes,
        }
        response = yield post_request(site, "/batch/jobs", body=msgspec.json.encode(said), repeat=Repeat.NEVER)
        return decode(success(response, site), _Job, site=site).read()

    def cancel(self, site: Site, batch_id: str) -> Call[Batch]:
        """Ask a batch to stop; one that is stopping or has stopped is returned as it is."""
        response = yield post_request(site, f"/batch/jobs/{quote(batch_id, safe='')}/cancel")
        return decode(success(response, site), _Job, site=site).read()

    def delete(self, site: Site, batch_id: str) -> Call[None]:
        """Delete a batch that has ended, with its results."""
        url = f"{site.base_url}/batch/jobs/{quote(batch_id, safe='')}"
        response = yield Request(method="DELETE", url=url, headers=site.headers, auth=site.auth)
        success(response, site)

    def line(self, custom_id: str, *, path: str, body: Mapping[str, object], inline: bool) -> bytes:  # noqa: ARG002
        """Return one line of the input file, without its line end."""
        return msgspec.json.encode({"custom_id": custom_id, "body": body})

    def result_files(self, batch: Batch) -> tuple[ResultFile, ...]:
        """Return every file that a batch has left behind; a success may have a file of failures too."""
        named = (("output.jsonl", batch.output_file_id), ("error.jsonl", batch.error_file_id))
        return tuple(ResultFile(name=name, id=file_id) for name, file_id in named if file_id is not None)

    def download(self, site: Site, batch: Batch, *, file: ResultFile, sink: Path) -> Call[None]:  # noqa: ARG002
        """Write one of these files to `sink` as it comes."""
        return Files().download(site, file.id, sink=sink)

    def items(self, document: bytes) -> Iterable[bytes]:
        """Return the results of a file, a line each."""
        return document.splitlines()

    def read_item(self, data: bytes) -> ResultItem:
        """Return how the request of one result line ended: it is told as OpenAI tells it.

        Raises BadAnswerError for a line that does not even say which request it answers.
        """
        return read_result(data)


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    status: str
    created_at: object
    started_at: object = None
    completed_at: object = None
    """When it ended, however it did."""
    endpoint: str | None = None
    model: str | None = None
    input_files: list[str] | None = None
    output_file: str | None = None
    error_file: str | None = None
    total_requests: int | None = None
    succeeded_requests: int | None = None
    failed_requests: int | None = None
    errors: object = None
    metadata: dict[str, object] | None = None

    def read(self) -> Batch:
        """Return it in our words."""
        status, word = known_status(self.status, _WORDS)
        batch = Batch(
            id=self.id,
            status=status,
            status_word=word,
            # Its own `completed_requests` has the failed ones too.
            counts=RequestCounts(
                total=self.total_requests or 0,
                completed=self.succeeded_requests or 0,
                failed=self.failed_requests or 0,
            ),
            created_at=unix_seconds(self.created_at) or 0,
            in_progress_at=unix_seconds(self.started_at),
            endpoint=self.endpoint or None,
            model=self.model or None,
            input_file_id=next(iter(self.input_files or ()), None),
            output_file_id=self.output_file or None,
            error_file_id=self.error_file or None,
            problems=read_problems(self.errors),
            metadata={name: str(value) for name, value in (self.metadata or {}).items()},
        )
        return msgspec.structs.replace(batch, **end_moment(status, unix_seconds(self.completed_at)))


class _List(msgspec.Struct, frozen=True):
    data: list[_Job] = []
    total: int | None = None
